/** Places for backups of tests: a folder, and a bucket of the real S3 server where it is installed. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findRealS3Server, RealS3Server } from '@holdfast/testkit';

export interface BackupPlace {
  /** As `--backup` takes it. */
  readonly url: string;
  /** What a command needs besides, as an environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Where its bytes rest. */
  readonly folder: string;
  stop(): Promise<void>;
}

export const WITHOUT_S3 = 'no S3 server here: npm run s3-server -- install';
export const S3_PROGRAM: string | undefined = findRealS3Server();

export async function folderPlace(): Promise<BackupPlace> {
  const folder = mkdtempSync(path.join(tmpdir(), 'holdfast-backup-'));
  return {
    url: path.join(folder, 'place'),
    env: {},
    folder,
    stop: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

export async function bucketPlace(): Promise<BackupPlace> {
  const folder = mkdtempSync(path.join(tmpdir(), 'holdfast-backup-s3-'));
  const server = await RealS3Server.start({ program: S3_PROGRAM ?? '', directory: folder });
  const { bucket, endpoint, region, credentials } = server;
  return {
    url: `s3://${bucket}/nodes/one`,
    env: {
      HOLDFAST_BACKUP_ENDPOINT: endpoint,
      HOLDFAST_BACKUP_REGION: region,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    },
    folder,
    stop: async () => {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Names and contents of everything below a folder, for searching and comparing. */
export function treeOf(folder: string): Map<string, Buffer> {
  const tree = new Map<string, Buffer>();
  for (const name of readdirSync(folder, { recursive: true }).map(String).sort()) {
    const file = path.join(folder, name);
    tree.set(name, statSync(file).isFile() ? readFileSync(file) : Buffer.alloc(0));
  }
  return tree;
}

/** Where any of `words` is found, in a name or in bytes. */
export function findWords(tree: ReadonlyMap<string, Buffer>, words: readonly string[]): string[] {
  const found: string[] = [];
  for (const [name, bytes] of tree) {
    for (const word of words) {
      const forms = [word, Buffer.from(word).toString('base64'), Buffer.from(word).toString('hex')];
      const at = forms.some((form) => name.includes(form) || bytes.includes(form));
      if (at) found.push(`${word} in ${name}`);
    }
  }
  return found;
}
