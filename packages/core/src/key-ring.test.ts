import { createSecretKey } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { KeyRing, formatKeyId, keyIdOf } from './key-ring.ts';
import { generateKeyText, parseKeyBytes, parseKeyText } from './key-text.ts';
import { LIMITS } from './limits.ts';
import { NodeRandom } from './node-random.ts';

const random = new NodeRandom();
const invalid = expect.objectContaining({ code: 'INVALID_KEY', kind: 'invalid' });

describe('key ring', () => {
  const one = createSecretKey(Buffer.alloc(32, 1));
  const two = createSecretKey(Buffer.alloc(32, 2));

  it('holds any number of keys, the first is active', () => {
    const ring = new KeyRing([two, one], random);
    expect(ring.active.id).toBe(keyIdOf(two));
    expect(ring.ids).toEqual([keyIdOf(two), keyIdOf(one)]);
    expect(ring.has(keyIdOf(one))).toBe(true);
    expect(ring.has(1)).toBe(false);
    expect(ring.find(1)).toBeUndefined();
    expect(ring.exportKeys()).toEqual([two, one]);
  });

  it('is replaced whole, or not at all', () => {
    const ring = new KeyRing([one], random);
    expect(() => ring.replace([two, two])).toThrow(invalid);
    expect(ring.active.id).toBe(keyIdOf(one));
    ring.replace([two, one]);
    expect(ring.active.id).toBe(keyIdOf(two));
  });

  it('refuses no key, a short key, a public key and one key twice', () => {
    expect(() => new KeyRing([], random)).toThrow(invalid);
    expect(() => new KeyRing([createSecretKey(Buffer.alloc(31))], random)).toThrow(invalid);
    expect(() => new KeyRing([one, createSecretKey(Buffer.alloc(32))], random)).toThrow('zeros');
    expect(() => new KeyRing([one, createSecretKey(Buffer.alloc(32, 1))], random)).toThrow(invalid);
  });

  it('numbers a key the same everywhere, in eight digits', () => {
    expect(formatKeyId(keyIdOf(createSecretKey(Buffer.alloc(32))))).toMatch(/^[0-9a-f]{8}$/);
    expect(formatKeyId(0x1f)).toBe('0000001f');
    expect(keyIdOf(one)).toBe(keyIdOf(createSecretKey(Buffer.alloc(32, 1))));
    expect(keyIdOf(one)).not.toBe(keyIdOf(two));
  });

  it('checks differ by key and by database, and there is none of an unknown key', () => {
    const ring = new KeyRing([one, two], random);
    const database = Buffer.alloc(16, 1);
    const check = ring.checkOf(keyIdOf(one), database);
    expect(check).toMatch(/^[0-9a-f]{16}$/);
    expect(ring.checkOf(keyIdOf(two), database)).not.toBe(check);
    expect(ring.checkOf(keyIdOf(one), Buffer.alloc(16, 2))).not.toBe(check);
    expect(ring.checkOf(1, database)).toBeUndefined();
  });

  it('derives a key for each file, and keeps no more of them than it may', () => {
    const ring = new KeyRing([one], random);
    const scope = { salt: Buffer.alloc(16), kind: 1, fileId: 1 };
    const exported = (change: object): string =>
      ring
        .fileKey(ring.active, { ...scope, ...change })
        .cipher.export()
        .toString('hex');
    const first = exported({});
    expect(exported({ fileId: 2 })).not.toBe(first);
    expect(exported({ kind: 2 })).not.toBe(first);
    expect(exported({ salt: Buffer.alloc(16, 1) })).not.toBe(first);
    for (let id = 0; id < LIMITS.derivedKeys + 2; id++) exported({ fileId: id });
    expect(exported({})).toBe(first);
    const { cipher, nonce } = ring.fileKey(ring.active, scope);
    expect(cipher.equals(nonce)).toBe(false);
    expect(cipher.equals(one)).toBe(false);
  });

  it('shows no key, however it is printed', () => {
    const key = createSecretKey(Buffer.from('the key material, all of it 0123'));
    const ring = new KeyRing([key], random);
    ring.fileKey(ring.active, { salt: Buffer.alloc(16), kind: 1, fileId: 1 });
    const shown = [
      inspect(ring, { depth: 9, showHidden: true }),
      JSON.stringify(ring),
      JSON.stringify(ring.active),
    ].join(' ');
    for (const encoding of ['utf8', 'hex', 'base64', 'base64url'] as const) {
      expect(shown).not.toContain(key.export().toString(encoding).slice(0, 12));
    }
  });
});

describe('key text', () => {
  it('of a generated key is read back', () => {
    const text = generateKeyText(random);
    expect(text).toMatch(/^hfk1:[\w-]{43}$/);
    expect(parseKeyText(text)).toHaveLength(1);
    expect(generateKeyText(random)).not.toBe(text);
  });

  it('is lines or commas, with comments and blanks, in order', () => {
    const [a, b, c] = [1, 2, 3].map((fill) => hfk1(fill)) as [string, string, string];
    const keys = parseKeyText(`# made in May\r\n${a} # active\n\n ${b},${c}\n`);
    expect(keys.map((key) => key.export()[0])).toEqual([1, 2, 3]);
  });

  it('that is not a key is refused by its line, and never shown', () => {
    const key = hfk1(7);
    for (const bad of [
      key.slice(5),
      key.slice(0, -1),
      `${key}=`,
      `${key}A`,
      key.replace('hfk1', 'hfk2'),
      // The same 32 bytes, with a bit set behind the last one.
      `${key.slice(0, -1)}${String.fromCharCode(key.charCodeAt(key.length - 1) + 1)}`,
      `hfk1:${'*'.repeat(43)}`,
    ]) {
      const error = thrownBy(() => parseKeyText(`# x\n${bad}`));
      expect(error).toMatchObject({
        code: 'INVALID_KEY',
        message: expect.stringContaining('line=2'),
      });
      expect(String(error)).not.toContain(bad.slice(8, 20));
    }
    for (const empty of ['', '# nothing', ' ,\n'])
      expect(() => parseKeyText(empty)).toThrow(invalid);
    expect(() => parseKeyText('x'.repeat(LIMITS.maxKeyTextBytes + 1))).toThrow(invalid);
  });

  it('may be 32 bytes themselves', () => {
    const [raw] = parseKeyBytes(Buffer.alloc(32, 9));
    expect(raw?.export()).toEqual(Buffer.alloc(32, 9));
    expect(parseKeyBytes(Buffer.from(`${hfk1(1)}\n${hfk1(2)}`))).toHaveLength(2);
    expect(() => parseKeyBytes(Buffer.alloc(33, 9))).toThrow(invalid);
    expect(() => parseKeyBytes(Buffer.alloc(LIMITS.maxKeyTextBytes + 1))).toThrow(invalid);
  });
});

function hfk1(fill: number): string {
  return `hfk1:${Buffer.alloc(32, fill).toString('base64url')}`;
}

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('did not throw');
}
