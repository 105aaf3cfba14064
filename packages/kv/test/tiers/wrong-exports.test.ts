/** What is given for an export and is none leaves the store that it should fill as it was. */
import { exportEntries, importEntries, type KvStore, restoreTier } from '@holdfast/kv';
import { describe, expect, it } from 'vitest';
import { gather, memory, text } from './tiered-stores.ts';

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function restore(to: KvStore, bytes: Uint8Array, overwrite = false): Promise<void> {
  const from = importEntries('export', pieces(bytes, 65_536));
  await gather(restoreTier({ from, to, overwrite }));
}

const WRONG: Readonly<Record<string, Uint8Array>> = {
  'nothing at all': Buffer.from(''),
  'a program': Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0xff, 0xfe, 0x0a, 0x80]),
  'other JSON': Buffer.from('{"orders":{"backup":"lmdb:/x"}}\n'),
  'the beginning of an export': Buffer.from(
    '{"holdfastKvExport":1,"store":"x","since":0}\n{"k":"a","v":"","s":1,"n":1}\n',
  ),
};

describe('instead of an export', () => {
  it.each(Object.keys(WRONG))('%s is refused, and the target stays as it was', async (name) => {
    const [empty, full] = [memory('empty'), memory('full')];
    await full.put('a', text('b'));
    const before = await gather(full.entries());
    for (const to of [empty, full]) {
      const done = restore(to, WRONG[name] as Uint8Array, true);
      await expect(done).rejects.toMatchObject({ code: 'FORMAT_INVALID', effect: 'none' });
    }
    expect(await gather(empty.keys())).toEqual([]);
    expect(await gather(full.entries())).toEqual(before);
  });

  it('one line without an end is refused before it fills the memory', async () => {
    const endless = (async function* (): AsyncGenerator<Uint8Array> {
      for (;;) yield Buffer.alloc(1_048_576, 0x61);
    })();
    const done = gather(restoreTier({ from: importEntries('x', endless), to: memory('empty') }));
    await expect(done).rejects.toMatchObject({
      code: 'FORMAT_INVALID',
      message: expect.stringMatching(/too long/) as unknown,
    });
  });

  it('the largest values come through in whatever pieces', async () => {
    const from = memory('from');
    await from.put('large', Buffer.alloc(12_000_000, 7));
    await from.put('é€', text('z'));
    const lines = Buffer.from((await gather(exportEntries(from))).join(''));
    for (const size of [10_000, 65_536, lines.length]) {
      const to = memory('to');
      await gather(restoreTier({ from: importEntries('x', pieces(lines, size)), to }));
      // The restore itself compares what it wrote; here, that both say the same again.
      expect((await gather(exportEntries(to))).slice(1).join('').length).toBe(
        lines.toString().length - lines.indexOf(10) - 1,
      );
      expect((await to.get('large'))?.length).toBe(12_000_000);
    }
  });
});
