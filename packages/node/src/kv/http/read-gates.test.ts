import { describe, expect, it } from 'vitest';
import { ReadGates } from './read-gates.ts';

function deferred(): { promise: Promise<string>; end: (error?: Error) => void } {
  let end: (error?: Error) => void = () => undefined;
  const promise = new Promise<string>((resolve, reject) => {
    end = (error) => (error === undefined ? resolve('done') : reject(error));
  });
  return { promise, end };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('reads of a store', () => {
  it('go on as many at a time as may be, in order, and a failed one makes room too', async () => {
    const gates = new ReadGates(2);
    const reads = Array.from({ length: 5 }, deferred);
    const begun: number[] = [];
    const results = reads.map(({ promise }, at) =>
      gates
        .run('a', () => {
          begun.push(at);
          return promise;
        })
        .catch((error: Error) => error.message),
    );
    await turn();
    expect(begun).toEqual([0, 1]);
    reads[1]?.end(new Error('away'));
    await turn();
    expect(begun).toEqual([0, 1, 2]);
    for (const { end } of reads) end();
    expect(await Promise.all(results)).toEqual(['done', 'away', 'done', 'done', 'done']);
    expect(begun).toEqual([0, 1, 2, 3, 4]);
  });

  it('who is woken keeps the place, also from who comes just then', async () => {
    const gates = new ReadGates(1);
    let under = 0;
    let most = 0;
    const read = async (): Promise<void> => {
      most = Math.max(most, ++under);
      await turn();
      under--;
    };
    const first = [gates.run('a', read), gates.run('a', read)];
    await first[0];
    await Promise.all([...first, gates.run('a', read)]);
    expect(most).toBe(1);
  });

  it('one store that does not answer keeps no other one waiting', async () => {
    const gates = new ReadGates(1);
    void gates.run('stuck', () => deferred().promise);
    void gates.run('stuck', () => deferred().promise);
    expect(await gates.run('other', () => Promise.resolve(1))).toBe(1);
  });

  it('a read that throws at once makes room', async () => {
    const gates = new ReadGates(1);
    const thrown = (): Promise<number> => {
      throw new Error('at once');
    };
    expect(() => gates.run('a', thrown)).toThrow('at once');
    expect(await gates.run('a', () => Promise.resolve(2))).toBe(2);
  });
});
