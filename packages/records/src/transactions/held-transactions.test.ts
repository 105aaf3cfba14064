import { RECORD_LIMITS as L } from '@holdfast/core';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { MEMBER, OWNER } from '../../test/sample-messages.ts';
import type { PeerId } from '../coordinate.ts';
import type { PublicKey } from '../key-pair.ts';
import type { TransactionId } from '../messages.ts';
import type { VerifiedDescriptor } from '../record-descriptor.ts';
import type { RecordId } from '../record-key.ts';
import type { VerifiedValue } from '../signed-value.ts';
import { HeldTransactions, type HeldTransaction } from './held-transactions.ts';

function world(): {
  clock: SimClock;
  held: HeldTransactions;
  add: (record: string, from?: string, member?: PublicKey) => HeldTransaction | undefined;
} {
  const clock = new SimClock(new SeededRandom(1));
  const held = new HeldTransactions(clock);
  let made = 0;
  return {
    clock,
    held,
    add(record, from = 'peer', member) {
      if (!held.hasRoomFor(record as RecordId, from as PeerId, member)) return undefined;
      const id = String(++made) as TransactionId;
      const descriptor = { id: record } as VerifiedDescriptor;
      return held.add({ id, from: from as PeerId, member, descriptor, revision: 0 });
    },
  };
}

function value(subkey: number, bytes: number): VerifiedValue {
  return { subkey, blob: Buffer.alloc(bytes) } as VerifiedValue;
}

describe('transactions are bounded', () => {
  it('on a record: 4 of the public, 1 of each member, none for the others', () => {
    const { held, add } = world();
    const all = [1, 2, 3, 4].map((n) => add('a', `peer-${n}`));
    expect(all).not.toContain(undefined);
    expect(add('a', 'peer-5')).toBeUndefined();
    expect(add('a', 'peer-6', MEMBER.publicKey)).toBeDefined();
    expect(add('a', 'peer-7', MEMBER.publicKey)).toBeUndefined();
    expect(add('a', 'peer-7', OWNER.publicKey)).toBeDefined();
    expect(add('b', 'peer-5')).toBeDefined();
    held.drop(all[0] as HeldTransaction);
    expect(add('a', 'peer-5')).toBeDefined();
  });

  it('of a peer, on all records', () => {
    const { held, add } = world();
    const all = Array.from({ length: L.maxTransactionsOfPeer }, (_, n) => add(`record-${n}`));
    expect(all).not.toContain(undefined);
    expect(add('another')).toBeUndefined();
    expect(add('another', 'another peer')).toBeDefined();
    held.drop(all[5] as HeldTransaction);
    held.drop(all[5] as HeldTransaction);
    expect(add('another')).toBeDefined();
    expect(add('yet another')).toBeUndefined();
  });

  it('of all peers, but not by those that are over', async () => {
    const { clock, held, add } = world();
    for (let n = 0; n < L.maxTransactions; n++) {
      expect(add(`record-${n}`, `peer-${n % 50}`)).toBeDefined();
    }
    expect(add('another', 'another peer')).toBeUndefined();
    expect(held.size).toBe(L.maxTransactions);
    await clock.advance(L.transactionIdleMs); // and nobody sweeps
    expect(add('another', 'another peer')).toBeDefined();
    expect(held.size).toBe(1);
    held.clear();
    expect(held.size).toBe(0);
    expect(add('another', 'another peer')).toBeDefined();
  });

  it('in bytes, given back by whatever ends them', () => {
    const { held, add } = world();
    const [a, b] = [add('a') as HeldTransaction, add('b') as HeldTransaction];
    expect(held.keep(a, value(0, L.maxTransactionBytes - 10))).toBe(true);
    expect(held.keep(b, value(0, 11))).toBe(false);
    expect(held.keep(b, value(0, 10))).toBe(true);
    expect(held.keep(b, value(0, 9))).toBe(true); // instead of the one before
    expect(held.keep(b, value(1, 1))).toBe(true);
    expect(held.bytes).toBe(L.maxTransactionBytes);
    held.withdraw(b, 0);
    held.withdraw(b, 7);
    expect(held.bytes).toBe(L.maxTransactionBytes - 9);
    held.drop(a);
    expect(held.bytes).toBe(1);
    held.drop(b);
    expect(held.bytes).toBe(0);
    expect(() => held.keep(b, value(0, 1))).toThrow(
      expect.objectContaining({ code: 'INVARIANT_VIOLATED' }),
    );
  });
});

describe('the time of a transaction', () => {
  it('is over after silence, to the millisecond', async () => {
    const { clock, held, add } = world();
    const it = add('a') as HeldTransaction;
    await clock.advance(L.transactionIdleMs - 1);
    expect(held.find(it.id)).toBe(it);
    await clock.advance(1);
    expect(held.find(it.id)).toBeUndefined();
    expect(held.size).toBe(0);
  });

  it('goes on while it is heard of, up to its life', async () => {
    const { clock, held, add } = world();
    const it = add('a') as HeldTransaction;
    const step = L.transactionIdleMs - 1;
    let passed = 0;
    while (passed + step < L.transactionLifeMs) {
      await clock.advance(step);
      passed += step;
      expect(held.isLive(it)).toBe(true);
      const rest = L.transactionLifeMs - passed;
      expect(held.prolong(it)).toBe(Math.min(L.transactionIdleMs, rest));
    }
    await clock.advance(L.transactionLifeMs - passed - 1);
    expect(held.isLive(it)).toBe(true);
    await clock.advance(1);
    expect(held.isLive(it)).toBe(false);
  });

  it('does not end a commit', async () => {
    const { clock, held, add } = world();
    const it = add('a') as HeldTransaction;
    expect(held.lock(it)).toBe(true);
    it.stage = 'committing';
    await clock.advance(2 * L.transactionLifeMs);
    held.sweep();
    expect(held.lockHolder('a' as RecordId)).toBe(it);
  });

  it('ends its lock, also where nobody sweeps', async () => {
    const { clock, held, add } = world();
    const [a, b] = [add('a') as HeldTransaction, add('a') as HeldTransaction];
    const other = add('b') as HeldTransaction;
    expect(held.lock(a)).toBe(true);
    expect(held.lock(a)).toBe(true);
    expect(held.lock(b)).toBe(false);
    expect(held.lock(other)).toBe(true);
    await clock.advance(L.transactionIdleMs - 1);
    held.prolong(b);
    await clock.advance(1);
    expect(held.lockHolder('a' as RecordId)).toBeUndefined();
    expect(held.lock(b)).toBe(true);
    held.drop(a); // has nothing to give back any more
    expect(held.lockHolder('a' as RecordId)).toBe(b);
  });
});
