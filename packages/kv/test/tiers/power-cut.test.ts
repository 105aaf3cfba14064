/**
 * Tiers on engines on simulated disks: the power fails, or the process is killed, at a moment drawn
 * from the seed, with any part of what was not synced gone. HOLDFAST_SEED and HOLDFAST_HISTORIES.
 */
import { SILENT, sleep } from '@holdfast/core';
import {
  type KvEntry,
  type KvOperation,
  type KvStore,
  openTieredKvStore,
  type TieredKvStore,
} from '@holdfast/kv';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { EngineLife } from '../engine-life.ts';
import { gather, text } from './tiered-stores.ts';

const FIRST_SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const HISTORIES = Number(process.env['HOLDFAST_HISTORIES'] ?? 25);
const GENERATIONS = 4;
const STEPS = 15;
const KEYS = ['a', 'b', 'c', 'd', 'cache/x'];
const PAIR = ['pair/one', 'pair/two'];

interface Opened {
  readonly lives: readonly EngineLife[];
  readonly tiers: TieredKvStore;
  readonly primary: KvStore;
  readonly backup: KvStore;
}

class History {
  readonly #random: SeededRandom;
  #clock: SimClock;
  #disks: SimFs[] = [new SimFs(), new SimFs()];
  /** What each key may hold: of its last acknowledged write, or of one that nobody heard of. */
  readonly #may = new Map<string, { value: string | undefined }[]>();
  #written = 0;
  acknowledged = 0;
  unheard = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.#clock = new SimClock(new SeededRandom(seed + 1));
    for (const key of [...KEYS, ...PAIR]) this.#may.set(key, [{ value: undefined }]);
  }

  async run(): Promise<void> {
    for (let generation = 0; generation < GENERATIONS; generation++) {
      const dying = this.#disks[this.#random.integer(2)] as SimFs;
      const performed = this.#random.integer(2) === 0;
      const nth = 1 + this.#random.integer(200);
      const fault = dying.disk.faults.plan({ effect: 'halt', nth, performed });
      // Whoever waits for a dead disk waits for ever.
      await this.#clock.run(this.#live()).catch(() => undefined);
      fault.remove();
      this.#crash();
      await this.#clock.run(this.#check());
      this.#crash();
    }
  }

  #crash(): void {
    const kill = this.#random.integer(3) === 0;
    this.#disks = this.#disks.map((disk) => (kill ? disk.kill() : disk.powerCut(this.#random)));
    this.#clock = this.#clock.nextIncarnation();
  }

  async #open(): Promise<Opened> {
    const seams = { clock: this.#clock, random: this.#random, logger: SILENT };
    const lives: EngineLife[] = [];
    for (const fileSystem of this.#disks) {
      lives.push(
        await EngineLife.open({ ...seams, fileSystem }, { checkpointLogBytes: 32 * 1024 }),
      );
    }
    const [near, far] = lives as [EngineLife, EngineLife];
    const primary = near.engine.store('main');
    const backup = far.engine.store('copy');
    const tiers = await openTieredKvStore(
      seams,
      { primary, backup, ephemeral: near.engine.store('cache'), local: near.engine.store('local') },
      { id: 'tiered', rules: [{ prefix: 'cache/' }], backupMode: this.#mode },
    );
    return { lives, tiers, primary, backup };
  }

  get #mode(): 'sync' | 'async' {
    return this.#random.seed % 2 === 0 ? 'sync' : 'async';
  }

  async #live(): Promise<void> {
    const { tiers } = await this.#open();
    const lanes = [0, 1, 2].map(async () => {
      for (let step = 0; step < STEPS; step++) await this.#write(tiers).catch(() => undefined);
    });
    await Promise.all(lanes);
  }

  async #write(tiers: TieredKvStore): Promise<void> {
    const value = String(++this.#written);
    const any = KEYS[this.#random.integer(KEYS.length)] as string;
    const keys = this.#random.integer(4) === 0 ? PAIR : [any];
    const gone = this.#random.integer(4) === 0;
    const now = { value: gone ? undefined : value };
    for (const key of keys) this.#may.get(key)?.push(now);
    await tiers.batch(
      keys.map((key): KvOperation =>
        gone ? { type: 'del', key } : { type: 'put', key, value: text(value) },
      ),
    );
    this.acknowledged++;
    // Calls on one key have an order: what came before this one counts no more.
    for (const key of keys) {
      const may = this.#may.get(key) ?? [];
      this.#may.set(key, may.slice(Math.max(0, may.indexOf(now))));
    }
  }

  async #check(): Promise<void> {
    const { tiers, primary, backup, lives } = await this.#open();
    await tiers.drain();
    while (tiers.status().tiers.backup?.behind === true) await sleep(this.#clock, 100);
    for (const [key, may] of this.#may) {
      const value = await tiers.get(key);
      const found = value === undefined ? undefined : Buffer.from(value).toString();
      expect(
        may.map((each) => each.value),
        key,
      ).toContain(found);
      if (may.length > 1) this.unheard++;
      this.#may.set(key, [{ value: found }]);
    }
    expect(this.#may.get('pair/two')).toEqual(this.#may.get('pair/one'));
    const own = async (store: KvStore): Promise<KvEntry[]> =>
      (await gather(store.entries())).filter(({ key }) => !key.startsWith('_holdfast'));
    expect(await own(backup)).toEqual(await own(primary));
    expect(tiers.status()).toMatchObject({ divergent: 0, fenced: false });
    await tiers.close();
    for (const life of lives) await life.close();
  }
}

it(
  `${HISTORIES} histories of tiers that lose power keep what was acknowledged, in both tiers`,
  { timeout: 120_000 },
  async () => {
    let acknowledged = 0;
    let unheard = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) {
      const history = new History(seed);
      await history.run().catch((cause: unknown) => {
        const replay = `HOLDFAST_SEED=${seed} HOLDFAST_HISTORIES=1 npx vitest run packages/kv/test/tiers/power-cut.test.ts`;
        throw new Error(`broken, replay: ${replay}: ${String(cause)}`, { cause });
      });
      acknowledged += history.acknowledged;
      unheard += history.unheard;
    }
    process.stdout.write(
      `tiers that lost power: ${HISTORIES} histories of ${GENERATIONS} lives, ` +
        `${acknowledged} acknowledged writes, ${unheard} keys with one on its way\n`,
    );
    expect(acknowledged).toBeGreaterThan(HISTORIES * 10);
    expect(unheard).toBeGreaterThan(HISTORIES);
  },
);
