/** One short scenario, with each of its calls failing once in each way. */
import { type Lsn, isHoldfastError } from '@holdfast/core';
import type { Log } from '@holdfast/log';
import type { Fault } from '@holdfast/testkit';
import { expect, test } from 'vitest';
import { SimLog, record, texts } from './sim-log.ts';

const MAX_CALLS = 400;

interface Outcome {
  acknowledged: string[];
  /** Refused, with the certainty that nothing was written. */
  refused: string[];
  log: Log | undefined;
  error: unknown;
}

/** Opens, appends, rolls, truncates, closes, opens and appends again. */
async function scenario(sim: SimLog, outcome: Outcome): Promise<void> {
  for (const life of ['a', 'b']) {
    const log = await sim.open({ preallocateBytes: 2 * 4096 });
    outcome.log = log;
    for (let i = 0; i < 8; i++) {
      const text = `${life}${i}`;
      try {
        await sim.append(log, text);
        outcome.acknowledged.push(text);
      } catch (error) {
        if (isHoldfastError(error) && error.effect === 'none') outcome.refused.push(text);
        throw error;
      }
      if (i === 4) await sim.run(log.roll());
      if (i === 6) await sim.run(log.truncateBefore(3 as Lsn));
    }
    await sim.run(log.close());
  }
}

async function runWith(fault: Fault): Promise<{ fired: boolean; sim: SimLog; outcome: Outcome }> {
  const sim = new SimLog(fault.nth);
  const outcome: Outcome = { acknowledged: [], refused: [], log: undefined, error: undefined };
  const plan = sim.fs.disk.faults.plan(fault);
  try {
    await scenario(sim, outcome);
  } catch (error) {
    outcome.error = error;
  }
  sim.fs.disk.faults.clear();
  return { fired: plan.fired > 0, sim, outcome };
}

/** What the next life finds: everything acknowledged, nothing refused, all in order. */
async function checkNextLife(sim: SimLog, outcome: Outcome): Promise<void> {
  const log = await sim.open();
  const found = texts(await sim.replay(log));
  const expected = outcome.acknowledged.filter((text) => found.includes(text));
  const missing = outcome.acknowledged.filter((text) => !found.includes(text));
  // Truncation may have taken records before LSN 3.
  expect(missing.every((text) => text === 'a0' || text === 'a1')).toBe(true);
  expect(found.filter((text) => outcome.refused.includes(text))).toEqual([]);
  expect(found.slice(0, expected.length)).toEqual(expected);
  expect(found.length - expected.length).toBeLessThanOrEqual(1);
  expect(Number(await sim.append(log, 'next'))).toBe(Number(log.recovery.lastLsn) + 1);
  expect((await sim.run(log.verify())).problems).toEqual([]);
  await sim.run(log.close());
}

const WAYS: Record<string, Omit<Fault, 'nth'>> = {
  'dies before': { effect: 'halt' },
  'dies after': { effect: 'halt', performed: true },
  'fails with EIO': {
    effect: 'EIO',
    operations: [
      'open',
      'write',
      'datasync',
      'syncDirectory',
      'unlink',
      'stat',
      'size',
      'read',
      'list',
    ],
  },
  'fails with ENOSPC': { effect: 'ENOSPC', operations: ['write', 'datasync', 'open'] },
  'writes less than asked': { effect: 'short-write' },
  'fails to sync and forgets': { effect: 'lying-sync' },
};

for (const [name, way] of Object.entries(WAYS)) {
  for (const end of ['kill', 'powerCut'] as const) {
    test(`every call ${name}, then ${end}: the next life has all that was acknowledged`, async () => {
      let nth = 1;
      for (; nth < MAX_CALLS; nth++) {
        const { fired, sim, outcome } = await runWith({ ...way, nth });
        if (!fired) break;
        if (way.effect === 'short-write') expect(outcome.error).toBeUndefined();
        sim[end]();
        await checkNextLife(sim, outcome);
      }
      expect(nth).toBeGreaterThan(10);
      expect(nth).toBeLessThan(MAX_CALLS);
    });
  }
}

test('recovery may die at every call, and the next one finds the same', async () => {
  for (let nth = 1; nth < MAX_CALLS; nth++) {
    const sim = new SimLog(nth);
    const log = await sim.open();
    await sim.append(log, 'one');
    await sim.append(log, 'two');
    // A batch of six sectors of which some are lost.
    sim.fs.disk.faults.plan({ effect: 'halt', operations: ['datasync'] });
    log.submit([record(Buffer.alloc(2800, 1))], {
      durable: () => undefined,
      failed: () => undefined,
    });
    await sim.clock.runUntilIdle();
    sim.powerCut();
    const plan = sim.fs.disk.faults.plan({ effect: 'halt', nth, performed: nth % 2 === 0 });
    await sim.open().catch(() => undefined);
    if (plan.fired === 0) return;
    sim.powerCut();
    const again = await sim.open();
    expect(texts(await sim.replay(again)).slice(0, 2)).toEqual(['one', 'two']);
    await sim.run(again.close());
  }
  throw new Error('recovery never ran through');
});

test('a failed sync is terminal: everything pending fails, later appends too, replay goes on', async () => {
  const sim = new SimLog();
  const log = await sim.open();
  await sim.append(log, 'safe');
  sim.fs.disk.faults.plan({ effect: 'lying-sync' });
  const first = sim.append(log, 'lost');
  await expect(first).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE', effect: 'unknown' });
  expect(log.state).toBe('failed');
  await expect(sim.append(log, 'later')).rejects.toMatchObject({
    code: 'STORAGE_UNAVAILABLE',
    effect: 'none',
  });
  await expect(sim.run(log.sync())).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
  expect(texts(await sim.replay(log))).toEqual(['safe']);
  const syncs = sim.fs.disk.calls('datasync');
  await sim.run(log.close());
  expect(sim.fs.disk.calls('datasync')).toBe(syncs);
});
