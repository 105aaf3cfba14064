import { LIMITS } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { readLineBatches } from './input.ts';

async function batches(chunks: string[], flushOnPause: boolean): Promise<string[][]> {
  async function* source(): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) yield Buffer.from(chunk);
  }
  const found: string[][] = [];
  for await (const batch of readLineBatches(source(), { flushOnPause })) {
    found.push(batch.map(String));
  }
  return found;
}

describe('readLineBatches', () => {
  it('joins lines across chunks, skips empty ones, and keeps a last one without an end', async () => {
    expect(await batches(['a\nb', 'c\n\n', '\nd'], false)).toEqual([['a', 'bc', 'd']]);
  });

  it('sends what it has when the input pauses, unless batches must be repeatable', async () => {
    expect(await batches(['a\nb\nc', 'd\n'], true)).toEqual([['a', 'b'], ['cd']]);
    expect(await batches(['a\nb\nc', 'd\n'], false)).toEqual([['a', 'b', 'cd']]);
  });

  it('cuts by lines and by bytes, the same way however the input is chunked', async () => {
    const text = 'x\n'.repeat(LIMITS.appendLines + 1);
    const whole = await batches([text], false);
    expect(whole.map((batch) => batch.length)).toEqual([LIMITS.appendLines, 1]);
    expect(await batches([...(text.match(/[^]{1,7}/g) ?? [])], false)).toEqual(whole);
    const wide = 'y'.repeat(LIMITS.appendLinesBytes - 1);
    expect((await batches([`${wide}\n${wide}\nz\n`], false)).map((one) => one.length)).toEqual([
      1, 2,
    ]);
  });
});
