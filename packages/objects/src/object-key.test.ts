import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeSegment, objectPath, parseEntry } from './fs-object-names.ts';
import { assertObjectKey, compareKeys, isObjectKey, mayHoldListed } from './object-key.ts';

const anyText = fc.string({ unit: 'binary', size: 'max', maxLength: 80 });
const anyKey = fc
  .array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60, size: 'max' }), {
    minLength: 1,
    maxLength: 4,
  })
  .map((segments) => segments.join('/'))
  .filter(isObjectKey);

describe('keys', () => {
  it('are ordered as their bytes in UTF-8', () => {
    fc.assert(
      fc.property(anyText, anyText, (one, other) => {
        const wanted = Buffer.compare(Buffer.from(one), Buffer.from(other));
        expect(Math.sign(compareKeys(one, other))).toBe(wanted);
      }),
    );
    expect(compareKeys('\u{10000}', '\uffff')).toBeGreaterThan(0);
    expect(compareKeys('\ud83d\ude00', '\ue000')).toBeGreaterThan(0);
  });

  it('are refused without their whole length in the message', () => {
    expect(() => assertObjectKey('x'.repeat(100_000))).toThrow(/longer than 512 bytes/);
    try {
      assertObjectKey('x'.repeat(100_000));
    } catch (error) {
      expect(String(error).length).toBeLessThan(200);
    }
  });

  it('below a folder are not walked when none can be on the list, and else are', () => {
    fc.assert(
      fc.property(anyKey, anyKey, anyText, anyText, (folder, rest, prefix, after) => {
        const key = `${folder}/${rest}`;
        const start = `${folder}/`;
        const listed = key.startsWith(prefix) && compareKeys(key, after) > 0;
        if (listed) expect(mayHoldListed(start, prefix, after)).toBe(true);
        const near = { prefix: key.slice(0, prefix.length), after: key.slice(0, after.length) };
        if (compareKeys(key, near.after) > 0) {
          expect(mayHoldListed(start, near.prefix, near.after)).toBe(true);
        }
      }),
    );
  });
});

describe('files of keys', () => {
  it('have names that any disk takes, and each its own', () => {
    const seen = new Map<string, string>();
    fc.assert(
      fc.property(anyKey, (key) => {
        const { folder, name } = objectPath(key);
        const path = folder === '' ? name : `${folder}/${name}`;
        for (const part of path.split('/')) expect(part).toMatch(/^[a-z0-9_%+.-]{1,205}$/);
        const other = seen.get(path.toLowerCase());
        if (other !== undefined) expect(other).toBe(key);
        seen.set(path.toLowerCase(), key);
      }),
    );
  });

  it('lead back to their keys', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        const { folder, name } = objectPath(key);
        const segments: string[] = [];
        let begun = '';
        for (const part of [...(folder === '' ? [] : folder.split('/')), name]) {
          const entry = parseEntry(part);
          if (entry === undefined) throw new Error(`not an entry: ${part}`);
          begun += entry.text;
          if (entry.kind === 'folder' && entry.continued) continue;
          segments.push(decodeSegment(begun) ?? '');
          begun = '';
        }
        expect(segments.join('/')).toBe(key);
      }),
    );
  });
});
