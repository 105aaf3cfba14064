import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { formatKeyId, generateKeyText, keyIdOf, NodeRandom, parseKeyText } from '@holdfast/core';
import { afterAll, describe, expect, it } from 'vitest';
import { generateKeyFile, KeySource, prependKey, removeKey } from './key-source.ts';
import { readKeyFile } from './node-key-file.ts';
import { runKeyCommand } from './node-key-command.ts';
import { parseNodeSettings } from './settings.ts';

const root = mkdtempSync(path.join(tmpdir(), 'holdfast-keys-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const random = new NodeRandom();

let files = 0;
const newPath = (): string => path.join(root, `k${files++}`);

function fileWith(content: string | Buffer, mode = 0o600): string {
  const file = newPath();
  writeFileSync(file, content, { mode });
  chmodSync(file, mode);
  return file;
}

const idsOf = async (settings: Parameters<typeof KeySource.from>[0]): Promise<number[]> => {
  const keys = await KeySource.from(settings)?.load();
  return (keys ?? []).map(keyIdOf);
};
const idOf = (text: string): number => parseKeyText(text).map(keyIdOf)[0] ?? 0;

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown as { code: string; message: string },
  );
  expect(error?.code).toBe('INVALID_KEY');
  return error?.message ?? '';
}

describe('a key file', () => {
  it('gives its keys in their order, as text and as 32 raw bytes', async () => {
    const [a, b] = [generateKeyText(random), generateKeyText(random)];
    const keyFile = fileWith(`# new\n${a}\n\n${b} # old\n`);
    expect(await idsOf({ keyFile })).toEqual([idOf(a), idOf(b)]);
    const raw = random.bytes(32);
    expect(await idsOf({ keyFile: fileWith(raw) })).toEqual([
      idOf(`hfk1:${raw.toString('base64url')}`),
    ]);
    expect(await idsOf({ keyFile: fileWith(a, 0o400) })).toEqual([idOf(a)]);
  });

  it.each([0o640, 0o604, 0o660, 0o620, 0o602, 0o610, 0o644, 0o777])(
    'is refused with mode %o, and the message has the command that mends it',
    async (mode) => {
      const keyFile = fileWith(generateKeyText(random), mode);
      expect(await refusal(idsOf({ keyFile }))).toContain(`chmod 600 ${keyFile}`);
    },
  );

  it('is refused when it is a link, a folder, a pipe or not there, and a pipe is not waited for', async () => {
    const keyFile = fileWith(generateKeyText(random));
    const link = newPath();
    symlinkSync(keyFile, link);
    expect(await refusal(idsOf({ keyFile: link }))).toContain('is a link');
    const folder = newPath();
    mkdirSync(folder, { mode: 0o700 });
    expect(await refusal(idsOf({ keyFile: folder }))).toContain('not a regular file');
    const pipe = newPath();
    execFileSync('mkfifo', ['-m', '600', pipe]);
    expect(await refusal(idsOf({ keyFile: pipe }))).toContain('not a regular file');
    const absent = newPath();
    expect(await refusal(idsOf({ keyFile: absent }))).toContain(`holdfast key generate ${absent}`);
  });

  // Only root may give a file away.
  it.runIf(process.geteuid?.() === 0)('is refused when it belongs to another user', async () => {
    const keyFile = fileWith(generateKeyText(random));
    execFileSync('chown', ['65534', keyFile]);
    expect(await refusal(idsOf({ keyFile }))).toContain('belongs to another user');
  });

  it('with what is no key is refused by line, and nothing of it is told', async () => {
    const key = generateKeyText(random);
    for (const text of [
      key.slice(0, -1),
      `${key}x`,
      key.toUpperCase(),
      `x${key}`,
      'my-secret-of-all-secrets',
    ]) {
      const keyFile = fileWith(`# a comment\n${text}\n`);
      const message = await refusal(idsOf({ keyFile }));
      expect(message).toContain('line=2');
      expect(message).not.toContain(text.slice(5, 15));
    }
    expect(await refusal(idsOf({ keyFile: fileWith('# nothing\n') }))).toContain('no key');
    await refusal(idsOf({ keyFile: fileWith('x'.repeat(100_000)) }));
  });
});

describe('generateKeyFile', () => {
  it('makes a file of its owner alone, and never writes over one', async () => {
    const file = newPath();
    const before = process.umask(0);
    const id = await generateKeyFile(file, random).finally(() => process.umask(before));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await idsOf({ keyFile: file })).toEqual([id]);
    const text = readFileSync(file, 'utf8');
    await expect(generateKeyFile(file, random)).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    });
    const link = newPath();
    symlinkSync(path.join(root, 'nowhere'), link);
    await expect(generateKeyFile(link, random)).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    });
    expect(readFileSync(file, 'utf8')).toBe(text);
  });
});

describe('rotation of a key file', () => {
  it('puts the new key first, keeps mode and comments, and leaves nothing beside the file', async () => {
    const key = generateKeyText(random);
    const file = fileWith(`# made in spring\n${key} # first\n`, 0o400);
    const id = await prependKey(file, random);
    expect(await idsOf({ keyFile: file })).toEqual([id, idOf(key)]);
    expect(statSync(file).mode & 0o777).toBe(0o400);
    expect(readFileSync(file, 'utf8')).toContain(`# made in spring\n${key} # first\n`);
    expect(readdirSync(root).filter((name) => name.includes('.next'))).toEqual([]);
  });

  it('goes on where one was cut short, and does not touch what other names the file has', async () => {
    const file = fileWith(generateKeyText(random));
    const other = newPath();
    linkSync(file, other);
    const text = readFileSync(file, 'utf8');
    const next = path.join(root, `.${path.basename(file)}.next`);
    writeFileSync(next, 'half', { mode: 0o644 });
    await expect(prependKey(file, random)).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' });
    expect(readFileSync(next, 'utf8')).toBe('half'); // somebody may be at it
    utimesSync(next, 0, 0);
    await prependKey(file, random);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(other, 'utf8')).toBe(text);
  });

  it('by several at once loses no key: each is in the file, or its maker was refused', async () => {
    const first = generateKeyText(random);
    const file = fileWith(first);
    const made = await Promise.allSettled(
      Array.from({ length: 12 }, async (_, index) => {
        for (let turn = index % 4; turn > 0; turn--) await readKeyFile(file);
        return prependKey(file, random);
      }),
    );
    const done = made.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    expect(done.length).toBeGreaterThan(0);
    for (const one of made) {
      if (one.status === 'rejected') {
        expect(one.reason).toMatchObject({ code: 'PRECONDITION_FAILED' });
      }
    }
    expect(new Set(await idsOf({ keyFile: file }))).toEqual(new Set([...done, idOf(first)]));
  });

  it('that makes the file too large is refused, and so is nothing else left behind', async () => {
    const file = fileWith(`${generateKeyText(random)}\n#${'x'.repeat(65_480)}`);
    const before = readFileSync(file);
    expect(await refusal(prependKey(file, random))).toContain('too large');
    expect(readFileSync(file)).toEqual(before);
    expect(readdirSync(root).filter((name) => name.includes('.next'))).toEqual([]);
  });

  it('takes a key out, wherever it stands, but never the last one, nor one that is not there', async () => {
    const [a, b, c] = [1, 2, 3].map(() => generateKeyText(random)) as [string, string, string];
    const file = fileWith(`# all\n${a}, ${b} # two\n${c} # old\n`);
    await removeKey(file, idOf(c));
    expect(readFileSync(file, 'utf8')).toBe(`# all\n${a}, ${b} # two\n`);
    await removeKey(file, idOf(b));
    expect(readFileSync(file, 'utf8')).toBe(`# all\n${a} # two\n`);
    expect(await refusal(removeKey(file, idOf(c)))).toContain(formatKeyId(idOf(c)));
    expect(await refusal(removeKey(file, idOf(a)))).toContain('only key');
    expect(readFileSync(file, 'utf8')).toBe(`# all\n${a} # two\n`);
  });

  it('leaves alone what is raw bytes, damaged, or open to others', async () => {
    for (const file of [
      fileWith(random.bytes(32)),
      fileWith('not a key'),
      fileWith(generateKeyText(random), 0o644),
    ]) {
      const before = readFileSync(file);
      await refusal(prependKey(file, random));
      expect(readFileSync(file)).toEqual(before);
    }
  });
});

describe('a key command', () => {
  it('prints what a key file would hold', async () => {
    const key = generateKeyText(random);
    expect(await idsOf({ keyCommand: `echo ${key}` })).toEqual([idOf(key)]);
    expect(await idsOf({ keyCommand: `cat ${fileWith(random.bytes(32))}` })).toHaveLength(1);
  });

  it('that fails, is not there, is killed or never ends is told without what it printed', async () => {
    const commands = [
      'echo hfk1:secret; exit 3',
      'echo hfk1:secret; kill -9 $$',
      '/nowhere/at-all',
    ];
    for (const keyCommand of commands) {
      const failed = idsOf({ keyCommand });
      await expect(failed).rejects.toMatchObject({ code: 'KEY_COMMAND_FAILED' });
      await expect(failed).rejects.not.toThrow('secret');
    }
    await expect(runKeyCommand('sleep 60 & wait', 50)).rejects.toThrow('longer than 50 ms');
    expect(await refusal(runKeyCommand('yes'))).toContain('more than 65536 bytes');
  });

  it('that cannot be started is told without the command, and ends nothing else', async () => {
    const token = 'token-of-a-vault';
    const tooLong = await runKeyCommand(`echo ${token}${'x'.repeat(3_000_000)}`).catch(String);
    expect(tooLong).toContain('reason=E2BIG');
    expect(tooLong).not.toContain(token);
    // Out of file handles, a child is half made: it has no output, and its error comes later.
    const source = `
      import { openSync } from 'node:fs';
      import { runKeyCommand } from ${JSON.stringify(new URL('node-key-command.ts', import.meta.url).href)};
      try { for (;;) openSync('/dev/null', 'r'); } catch {}
      runKeyCommand('echo ${token}').catch((error) => setTimeout(() => console.log(String(error)), 50));
    `;
    const file = fileWith(source);
    renameSync(file, `${file}.mts`);
    const node = `"${process.execPath}" --conditions x-source --import tsx "${file}.mts"`;
    const told = execFileSync('sh', ['-c', `ulimit -n 60; exec ${node}`], { encoding: 'utf8' });
    expect(told).toContain('reason=EMFILE');
    expect(told).not.toContain(token);
  });
});

describe('keys that were given as text', () => {
  it('come from one place only, and are shown nowhere', async () => {
    const key = generateKeyText(random);
    const source = KeySource.from({ key: `${key},${generateKeyText(random)}` });
    expect((await source?.load())?.length).toBe(2);
    const secret = key.slice(5, 20);
    expect(JSON.stringify(source) + inspect(source, { depth: 9, showHidden: true })).not.toContain(
      secret,
    );
    const settings = parseNodeSettings({ memory: true, key });
    expect(JSON.stringify(settings) + inspect(settings)).not.toContain(secret);
    expect(() => parseNodeSettings({ memory: true, key, keyFile: '/k' })).toThrow('one place');
    expect(() => parseNodeSettings({ memory: true, keyCommand: 'c', keyFile: '/k' })).toThrow(
      'setting=keyFile',
    );
    expect(KeySource.from({})).toBe(undefined);
  });
});
