import { describe, expect, it } from 'vitest';
import { matchesAny } from '../http/entity-tags.ts';
import { entityTag } from './etag.ts';

const from = { messages: 0, bytes: 0 };
const to = { messages: 2, bytes: 30 };
const stream = { id: 7, createdAtMs: 36 };
const tag = entityTag(stream, from, to, false);

describe('entity tag', () => {
  it('differs by stream, also of another data directory, by range and closure', () => {
    const tags = [
      tag,
      entityTag({ ...stream, id: 8 }, from, to, false),
      entityTag({ ...stream, createdAtMs: 37 }, from, to, false),
      entityTag(stream, to, to, false),
      entityTag(stream, from, from, false),
      entityTag(stream, from, to, true),
    ];
    expect(new Set(tags).size).toBe(tags.length);
    expect(tag).toBe('"7-10:0000000000000000_0000000000000000:0000000000000002_0000000000000030"');
  });

  it.each([
    [tag, true],
    [`W/${tag}`, true],
    ['*', true],
    [` ${tag} `, true],
    [`"x", ${tag}`, true],
    [`"x",W/${tag},"y"`, true],
    ['"x,y", ' + tag, true],
    [tag.slice(1, -1), false],
    ['', false],
    ['"x"', false],
    [`${tag.slice(0, -1)}:c"`, false],
    [`w/${tag}`, false],
    ['**', false],
  ])('If-None-Match: %s matches: %s', (header, matches) => {
    expect(matchesAny(header, tag)).toBe(matches);
  });
});
