import { checkLinearizable } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { judgeVersions, KV_REGISTER, type KvOperationRecord } from './kv-register.ts';
import { runKvWorlds } from './kv-world.ts';

const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const COUNT = Number(process.env['HOLDFAST_HISTORIES'] ?? 200);

it(`stores keep every promise to their clients in ${COUNT} virtual worlds`, async () => {
  const totals = await runKvWorlds({ seed: SEED, count: COUNT });
  console.log(`virtual worlds of stores: ${JSON.stringify(totals)} from seed ${SEED}`);
  expect(totals.histories).toBe(COUNT);
  expect(totals.undecided).toBeLessThanOrEqual(Math.ceil(COUNT / 50));
  if (COUNT < 50) return;
  // What has to have happened, or it shows nothing.
  expect(totals.crashes).toBeGreaterThan(COUNT);
  expect(totals.operations).toBeGreaterThan(COUNT * 30);
  expect(totals.refused).toBeGreaterThan(COUNT);
  expect(totals.unknown).toBeGreaterThan(COUNT);
}, 600_000);

const at = (invoked: number, returned: number) => ({
  ...{ client: 'c', path: 's', invoked, returned, invokedMs: 0, returnedMs: 0 },
});
const put = (
  value: string,
  version: number,
  times: ReturnType<typeof at>,
  expected: 'anything' | 'nothing' = 'anything',
): KvOperationRecord => ({
  ...times,
  input: { kind: 'write', writes: [{ key: 'k', value, expected: { kind: expected } }] },
  output: { kind: 'done', versions: [version] },
});
const get = (value: string | undefined, times: ReturnType<typeof at>): KvOperationRecord => ({
  ...times,
  input: { kind: 'get', key: 'k' },
  output: value === undefined ? { kind: 'absent' } : { kind: 'found', value, version: 1 },
});

it.each([
  ['a lost write', [put('a', 1, at(1, 2)), get(undefined, at(3, 4))]],
  ['an older value', [put('a', 1, at(1, 2)), put('b', 2, at(3, 4)), get('a', at(5, 6))]],
  ['a lost update', [put('a', 1, at(1, 2), 'nothing'), put('b', 2, at(3, 4), 'nothing')]],
])('the judge sees %s', (_, history) => {
  expect(checkLinearizable(KV_REGISTER, history).linearizable).toBe(false);
});

it('the judge sees a version that falls back, and a value under two', () => {
  expect(() => judgeVersions([put('a', 5, at(1, 2)), put('b', 4, at(3, 4))])).toThrow('after 5');
  expect(() => judgeVersions([put('a', 5, at(1, 4)), get('a', at(2, 3))])).toThrow('versions');
});
