import { describe, expect, it } from 'vitest';
import { type ContentSource, openContent } from './object-content.ts';
import type { ObjectContent } from './object-store.ts';
import { OpenCalls } from './open-calls.ts';

const info = { etag: 'e', size: 10, modifiedMs: 1 };

function contentOf(pieces: readonly string[]): { content: ObjectContent; released: () => number } {
  const left = pieces.map((piece) => Buffer.from(piece));
  let released = 0;
  const source: ContentSource = {
    next: async () => left.shift(),
    release: async () => {
      released++;
    },
  };
  const call = new OpenCalls().enter(undefined);
  const content = openContent(call, { key: 'key', info, offset: 0, length: 10 }, source);
  return { content, released: () => released };
}

async function read(content: ObjectContent): Promise<string> {
  let text = '';
  for await (const piece of content.body) text += piece.toString();
  return text;
}

describe('the body of an object', () => {
  it('ends after the announced bytes, in whatever pieces', async () => {
    const { content, released } = contentOf(['01', '', '2345678', '9']);
    expect(await read(content)).toBe('0123456789');
    await content.close();
    expect(released()).toBe(1);
  });

  it('that ends early or late is unavailable, and released', async () => {
    for (const pieces of [[], ['012345678'], ['0123456789', 'a'], ['0123456789a']]) {
      const { content, released } = contentOf(pieces);
      await expect(read(content)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
      expect(released()).toBe(1);
    }
  });
});
