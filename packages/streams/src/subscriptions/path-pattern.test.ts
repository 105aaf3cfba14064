import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PathPattern } from './path-pattern.ts';
import { PatternIndex } from './pattern-index.ts';

const TABLE: [pattern: string, path: string, matches: boolean][] = [
  ['events/*', 'events/a', true],
  ['events/*', 'events', false],
  ['events/*', 'events/a/b', false],
  ['events/*', 'event/a', false],
  ['*', 'a', true],
  ['*', 'a/b', false],
  ['**', 'a/b/c', true],
  ['**', 'a', true],
  ['a/**', 'a', true],
  ['a/**', 'a/b/c', true],
  ['a/**', 'ab', false],
  ['**/z', 'z', true],
  ['**/z', 'a/b/z', true],
  ['**/z', 'z/a', false],
  ['a/**/z', 'a/z', true],
  ['a/**/z', 'a/b/c/z', true],
  ['a/**/z', 'a/b/c', false],
  ['a/**/b/**/c', 'a/x/b/y/b/c', true],
  ['a/**/**/c', 'a/c', true],
  ['**/*', 'a', true],
  ['*/**', 'a', true],
  ['*/**/*', 'a', false],
  ['**/a/*/b', 'a/a/x/b', true],
  ['a.c', 'abc', false],
  ['constructor/*', 'constructor/x', true],
  ['**', '__ds/dead-letters', false],
  ['*/*', '__ds/x', false],
  ['**', '__dsx/x', true],
];

test.each(TABLE)('the pattern %s and the path %s: %s', (text, path, matches) => {
  const pattern = PathPattern.parse(text);
  expect(pattern.matches(path)).toBe(matches);
  const index = new PatternIndex<string>();
  index.add(pattern, 'x');
  expect(index.match(path).has('x')).toBe(matches);
});

test.each(['', '/a', 'a/', 'a//b', 'a*', 'x/**y', '***', '__ds/x', '\ud800', 'a'.repeat(1025)])(
  'the pattern %s is refused',
  (text) => {
    expect(() => PathPattern.parse(text)).toThrow(
      expect.objectContaining({ code: 'INVALID_SUBSCRIPTION' }),
    );
  },
);

test('time to match does not explode with the number of stars', () => {
  const pattern = PathPattern.parse(`${'**/a/'.repeat(100)}b`);
  const path = Array.from({ length: 2000 }, () => 'a').join('/');
  expect(pattern.matches(path)).toBe(false);
  const index = new PatternIndex<number>();
  index.add(pattern, 1);
  expect(index.match(path).size).toBe(0);
});

const segment = fc.constantFrom('a', 'b', 'c');
const patternSegment = fc.constantFrom('a', 'b', 'c', '*', '**');
const paths = fc.array(segment, { minLength: 1, maxLength: 6 });
const patterns = fc.array(patternSegment, { minLength: 1, maxLength: 6 });

/** What the protocol says, word for word. */
function matches(pattern: readonly string[], path: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return path.length === 0;
  if (first === '**') {
    return matches(rest, path) || (path.length > 0 && matches(pattern, path.slice(1)));
  }
  return path.length > 0 && (first === '*' || first === path[0]) && matches(rest, path.slice(1));
}

test('a pattern matches what the definition says, and its literal prefix begins every match', () => {
  fc.assert(
    fc.property(patterns, paths, (pattern, path) => {
      const parsed = PathPattern.parse(pattern.join('/'));
      const text = path.join('/');
      const expected = matches(pattern, path);
      expect(parsed.matches(text)).toBe(expected);
      if (expected) expect(text.startsWith(parsed.literalPrefix)).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test('the index finds exactly the patterns that match, whatever was added and taken away', () => {
  fc.assert(
    fc.property(
      fc.array(patterns, { maxLength: 12 }),
      fc.array(fc.nat(), { maxLength: 6 }),
      paths,
      (all, gone, path) => {
        const index = new PatternIndex<number>();
        const parsed = all.map((pattern) => PathPattern.parse(pattern.join('/')));
        for (const [i, pattern] of parsed.entries()) index.add(pattern, i);
        const left = new Set(parsed.keys());
        for (const n of gone) {
          const i = parsed.length === 0 ? -1 : n % parsed.length;
          if (left.delete(i)) index.delete(parsed[i] as PathPattern, i);
        }
        const text = path.join('/');
        const expected = [...left].filter((i) => parsed[i]?.matches(text));
        expect([...index.match(text)].sort()).toEqual(expected.sort());
      },
    ),
    { numRuns: 1000 },
  );
});
