/** A data directory from outside: what its files are, and damage done to them. */
import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';

export interface StoredFile {
  readonly path: string;
  /** Relative to the directory. */
  readonly name: string;
  readonly bytes: number;
  readonly modifiedMs: number;
}

export function filesOf(directory: string): StoredFile[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const file = path.join(entry.parentPath, entry.name);
      const { size, mtimeMs } = statSync(file);
      return { path: file, name: path.relative(directory, file), bytes: size, modifiedMs: mtimeMs };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** One line per file: changes when anything is written, made or removed. */
export function fingerprint(directory: string): string {
  return filesOf(directory)
    .map((file) => `${file.name} ${file.bytes} ${file.modifiedMs}`)
    .join('\n');
}

/** Position behind the last byte that is not zero. */
export function usedBytes(file: string): number {
  const descriptor = openSync(file, 'r');
  try {
    const piece = Buffer.alloc(64 * 1024);
    let end = fstatSync(descriptor).size;
    while (end > 0) {
      const from = Math.max(0, end - piece.length);
      const count = readSync(descriptor, piece, 0, end - from, from);
      for (let at = count - 1; at >= 0; at--) if (piece[at] !== 0) return from + at + 1;
      end = from;
    }
    return 0;
  } finally {
    closeSync(descriptor);
  }
}

export function writeAt(file: string, position: number, bytes: Uint8Array): void {
  const descriptor = openSync(file, 'r+');
  try {
    writeSync(descriptor, bytes, 0, bytes.length, position);
  } finally {
    closeSync(descriptor);
  }
}

export function readAt(file: string, position: number, length: number): Buffer {
  const descriptor = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(length);
    readSync(descriptor, bytes, 0, length, position);
    return bytes;
  } finally {
    closeSync(descriptor);
  }
}

/** Turns over one bit. */
export function flipBit(file: string, position: number): void {
  const descriptor = openSync(file, 'r+');
  try {
    const byte = Buffer.alloc(1);
    readSync(descriptor, byte, 0, 1, position);
    byte[0] = (byte[0] as number) ^ 0x10;
    writeSync(descriptor, byte, 0, 1, position);
  } finally {
    closeSync(descriptor);
  }
}
