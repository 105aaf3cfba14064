/**
 * The names of objects in a repository. FORMAT.md, "Repository".
 *
 * Numbers stand in names as 16 decimal digits, so that the order of names is the order of numbers:
 * what is there, and what is missing, is known from listings alone.
 */
import { createHash } from 'node:crypto';
import type { Lsn } from '@holdfast/core';

/** The folder of a database in a bucket. It does not give the database id away. */
export function repositoryId(databaseId: Uint8Array): string {
  const hash = createHash('sha256').update('holdfast repository').update(databaseId);
  return hash.digest('hex').slice(0, 32);
}

export function isRepositoryId(text: string): boolean {
  return /^[0-9a-f]{32}$/.test(text);
}

/** What the name of an archive piece says of it. */
export interface ArchivePieceName {
  readonly epoch: number;
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
  /** Wall clock of its first and of its last batch, ms since 1970. */
  readonly fromMs: number;
  readonly toMs: number;
  /** 0: not encrypted. */
  readonly keyId: number;
}

/** What the name of a restore point says: several histories may have one at an LSN. */
export interface MarkName {
  readonly lsn: Lsn;
  /** Of the writer that archived it. */
  readonly epoch: number;
}

export class RepositoryNames {
  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }

  get layout(): string {
    return `${this.id}/layout.json`;
  }

  get lease(): string {
    return `${this.id}/lease`;
  }

  get claims(): string {
    return `${this.id}/writers/`;
  }

  claim(epoch: number): string {
    return this.claims + digits(epoch);
  }

  epochOfClaim(key: string): number | undefined {
    return numberIn(key, this.claims);
  }

  get snapshots(): string {
    return `${this.id}/snapshots/`;
  }

  snapshot(snapshotId: string): string {
    return this.snapshots + snapshotId;
  }

  /** The id of a snapshot: the LSN it holds, and chance. */
  snapshotId(lsn: Lsn, random: Uint8Array): string {
    return `${digits(lsn)}-${Buffer.from(random).toString('hex')}`;
  }

  snapshotOf(key: string): { readonly id: string; readonly lsn: Lsn } | undefined {
    const found = /^(\d{16})-[0-9a-f]{16}$/.exec(behind(key, this.snapshots) ?? '');
    return found === null ? undefined : { id: found[0], lsn: Number(found[1]) as Lsn };
  }

  get marks(): string {
    return `${this.id}/marks/`;
  }

  mark({ lsn, epoch }: MarkName): string {
    return `${this.marks}${digits(lsn)}-${digits(epoch)}`;
  }

  markOf(key: string): MarkName | undefined {
    const found = /^(\d{16})-(\d{16})$/.exec(behind(key, this.marks) ?? '');
    return found === null ? undefined : { lsn: Number(found[1]) as Lsn, epoch: Number(found[2]) };
  }

  get parts(): string {
    return `${this.id}/parts/`;
  }

  /** @param hash SHA-256 of its bytes, hexadecimal. */
  part(hash: string): string {
    return `${this.parts}${hash.slice(0, 2)}/${hash}`;
  }

  hashOfPart(key: string): string | undefined {
    const found = /^([0-9a-f]{2})\/([0-9a-f]{64})$/.exec(behind(key, this.parts) ?? '');
    return found?.[2]?.startsWith(found[1] as string) === true ? found[2] : undefined;
  }

  /** All pieces of one epoch; without an epoch, of all. */
  pieces(epoch?: number): string {
    const all = `${this.id}/archive/`;
    return epoch === undefined ? all : `${all}${digits(epoch)}/`;
  }

  /** Lies before every piece of the epoch that begins at `lsn` or later, and behind all others. */
  piecesFrom(epoch: number, lsn: Lsn): string {
    return this.pieces(epoch) + digits(lsn);
  }

  piece(piece: ArchivePieceName): string {
    const { epoch, firstLsn, lastLsn, fromMs, toMs } = piece;
    const key = piece.keyId.toString(16).padStart(8, '0');
    const numbers = [firstLsn, lastLsn, fromMs, toMs].map(digits).join('-');
    return `${this.pieces(epoch)}${numbers}-${key}`;
  }

  pieceOf(key: string): ArchivePieceName | undefined {
    const pattern = /^(\d{16})\/(\d{16})-(\d{16})-(\d{16})-(\d{16})-([0-9a-f]{8})$/;
    const found = pattern.exec(behind(key, this.pieces()) ?? '');
    if (found === null) return undefined;
    const [epoch = 0, firstLsn = 0, lastLsn = 0, fromMs = 0, toMs = 0] = found
      .slice(1, 6)
      .map(Number);
    if (lastLsn < firstLsn || toMs < fromMs) return undefined;
    const keyId = Number.parseInt(found[6] as string, 16);
    return { epoch, firstLsn: firstLsn as Lsn, lastLsn: lastLsn as Lsn, fromMs, toMs, keyId };
  }
}

function digits(value: number): string {
  return String(value).padStart(16, '0');
}

function behind(key: string, prefix: string): string | undefined {
  return key.startsWith(prefix) ? key.slice(prefix.length) : undefined;
}

function numberIn(key: string, prefix: string): number | undefined {
  const text = behind(key, prefix);
  if (text === undefined || !/^\d{16}$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}
