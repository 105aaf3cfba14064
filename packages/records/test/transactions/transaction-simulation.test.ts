/**
 * Several clients count in two records by transactions: each reads both, and writes one more to both. Peers
 * are slow, lose messages and die meanwhile. Whatever happens, no count is lost: what a commit wrote,
 * the next one that commits had read.
 */
import { hasCode, isHoldfastError, sleep } from '@holdfast/core';
import { SeededRandom } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { OWNER } from '../sample-messages.ts';
import type { TransactionSubject } from '../../src/transactions/begun-record.ts';
import { subjectOf, TransactionWorld, type WorldPeer } from './transaction-world.ts';

interface Commit {
  readonly read: string;
  readonly wrote: string;
  /** It may have happened. */
  readonly unknown: boolean;
}

const EXPECTED = ['TRANSACTION_GONE', 'RECORD_LOCKED', 'PEERS_UNAVAILABLE'] as const;
const CLIENTS = 3;
const ROUNDS = 4;
const TRIES = 30;

class Counting {
  readonly world: TransactionWorld;
  readonly commits: Commit[] = [];
  readonly failures = new Map<string, number>();
  readonly #chance: SeededRandom;
  readonly #subjects: readonly TransactionSubject[];

  constructor(world: TransactionWorld, seed: number) {
    this.world = world;
    this.#chance = new SeededRandom(seed);
    // The public has room for several at once.
    this.#subjects = [subjectOf(3), subjectOf(5)].map((one) => ({ ...one, writer: undefined }));
  }

  async client(name: number): Promise<void> {
    for (let round = 0; round < ROUNDS; round++) {
      for (let tries = 0; tries < TRIES; tries++) {
        const isDone = await this.#count(name, `${name}.${round}`);
        if (isDone) break;
        await sleep(this.world.clock, 100 + this.#chance.integer(3_000));
      }
    }
  }

  /** True: it may not be tried again. */
  async #count(client: number, label: string): Promise<boolean> {
    let read: string | undefined;
    let wrote = '';
    try {
      const transaction = await this.world.beginBeside(client, ...this.#subjects);
      const seen: string[] = [];
      for (const { key } of this.#subjects) {
        const found = await transaction.get(key, 0);
        seen.push(found.status === 'value' ? Buffer.from(found.data).toString() : '0');
      }
      if (seen[0] !== seen[1]) throw new Error(`torn: ${seen.join(' and ')}`);
      read = seen[0] as string;
      wrote = `${Number.parseInt(read, 10) + 1} by ${label}`;
      for (const { key } of this.#subjects) {
        const result = await transaction.set(key, 0, Buffer.from(wrote), { writer: OWNER });
        if (result.status === 'pending') continue;
        await transaction.rollback();
        return false;
      }
      await transaction.commit();
      this.commits.push({ read, wrote, unknown: false });
      return true;
    } catch (error) {
      if (!isHoldfastError(error) || !EXPECTED.some((code) => hasCode(error, code))) throw error;
      this.failures.set(error.code, (this.failures.get(error.code) ?? 0) + 1);
      if (error.effect === 'none' || read === undefined) return false;
      this.commits.push({ read, wrote, unknown: true });
      return true;
    }
  }

  /** Peers that are no clients come to harm, now and then. */
  async harm(spare: number): Promise<void> {
    const others = this.world.peers.slice(CLIENTS);
    const any = (): WorldPeer => others[this.#chance.integer(others.length)] as WorldPeer;
    for (let n = 0; n < 12; n++) {
      await sleep(this.world.clock, 500 + this.#chance.integer(2_000));
      const conditions = this.world.network.conditionsOf(any().id);
      conditions.slowMs = this.#chance.integer(2) * this.#chance.integer(800);
      if (n % 4 === 3 && others.length > spare) {
        const [dead] = others.splice(this.#chance.integer(others.length), 1);
        this.world.network.crash((dead as WorldPeer).id);
      }
    }
  }
}

/** Without those of unknown effect: the counts go 1, 2, 3, each read by the next. */
function expectChain(commits: readonly Commit[]): void {
  const known = commits.filter(({ unknown }) => !unknown);
  const readers = new Map<string, string>();
  for (const { read, wrote } of known) {
    expect(readers.get(read), `two counts go on from ${read}`).toBeUndefined();
    readers.set(read, wrote);
  }
  const written = new Set(['0', ...commits.map(({ wrote }) => wrote)]);
  for (const { read } of known) expect(written).toContain(read);
}

describe('counting by transactions', () => {
  it.each(Array.from({ length: 8 }, (_, seed) => seed + 1))(
    'loses no count where peers are slow (seed %d)',
    async (seed) => {
      const world = await TransactionWorld.open(14, seed);
      const counting = new Counting(world, seed);
      const clients = Array.from({ length: CLIENTS }, (_, name) => counting.client(name));
      await world.run(Promise.all([...clients, counting.harm(100)]));
      const { commits } = counting;
      expectChain(commits);
      expect(commits.filter(({ unknown }) => unknown)).toEqual([]);
      expect(commits).toHaveLength(CLIENTS * ROUNDS);
      const last = commits.map(({ wrote }) => Number.parseInt(wrote, 10)).sort((a, b) => a - b);
      expect(last).toEqual(Array.from({ length: CLIENTS * ROUNDS }, (_, n) => n + 1));
    },
    60_000,
  );

  it.each(Array.from({ length: 8 }, (_, seed) => seed + 101))(
    'loses no count where messages are lost and peers die (seed %d)',
    async (seed) => {
      const world = await TransactionWorld.open(16, seed, { loss: 0.01 });
      const counting = new Counting(world, seed);
      const clients = Array.from({ length: CLIENTS }, (_, name) => counting.client(name));
      await world.run(Promise.all([...clients, counting.harm(10)]));
      expectChain(counting.commits);
      expect(counting.commits.length).toBeGreaterThan(0);
    },
    60_000,
  );
});
