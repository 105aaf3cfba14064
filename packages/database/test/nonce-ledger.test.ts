/**
 * Every (key, nonce) that AES-GCM is ever given, written down where it is called: over commits,
 * checkpoints, merges and rotations, crashes and restarts, and a directory that was cloned together
 * with the state of chance. One pair for two messages would give both away.
 */
import { createSecretKey, type KeyObject } from 'node:crypto';
import { KeyRing } from '@holdfast/core';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import type * as Crypto from 'node:crypto';
import { beforeEach, expect, it, vi } from 'vitest';
import { type Database, openDatabase } from '../src/index.ts';
import { RowEngine } from './row-engine.ts';

const ledger = vi.hoisted(() => ({
  /** What was encrypted, by key and nonce. */
  messages: new Map<string, string>(),
  /** Who used a key. */
  users: new Map<string, Set<string>>(),
  user: '',
  calls: 0,
  /** A pair that had two messages. */
  broken: 0,
}));

vi.mock('node:crypto', async (original) => {
  const real = await original<typeof Crypto>();
  const digest = (...parts: Buffer[]): string =>
    real.createHash('sha256').update(Buffer.concat(parts)).digest('hex');
  const createCipheriv = (
    ...args: Parameters<typeof real.createCipheriv>
  ): ReturnType<typeof real.createCipheriv> => {
    const [, key, nonce] = args;
    const cipher = real.createCipheriv(...args);
    const keyName = digest((key as KeyObject).export() as Buffer).slice(0, 32);
    let aad: Buffer = Buffer.alloc(0);
    const gcm = cipher as unknown as { setAAD(aad: Buffer): unknown };
    const setAAD = gcm.setAAD.bind(cipher);
    gcm.setAAD = (bytes) => {
      aad = Buffer.from(bytes);
      return setAAD(bytes);
    };
    const update = cipher.update.bind(cipher);
    (cipher as { update: unknown }).update = (plain: Buffer) => {
      const pair = `${keyName} ${Buffer.from(nonce as Buffer).toString('hex')}`;
      const message = digest(aad, Buffer.from('|'), plain);
      ledger.calls++;
      if ((ledger.messages.get(pair) ?? message) !== message) ledger.broken++;
      ledger.messages.set(pair, message);
      const users = ledger.users.get(keyName) ?? new Set();
      ledger.users.set(keyName, users.add(ledger.user));
      return update(plain);
    };
    return cipher;
  };
  return { ...real, createCipheriv, default: { ...real, createCipheriv } };
});

const DIR = '/data';
const APPENDS = 10_000;
const GENERATIONS = 25;

function keyOf(fill: number): KeyObject {
  return createSecretKey(Buffer.alloc(32, fill));
}

class Machine {
  readonly #name: string;
  random: SeededRandom;
  fs: SimFs;
  clock: SimClock;
  keys: readonly KeyObject[] = [keyOf(1)];
  appends = 0;

  constructor(name: string, seed: number) {
    this.#name = name;
    this.random = new SeededRandom(seed);
    this.fs = new SimFs();
    this.clock = new SimClock(new SeededRandom(seed));
  }

  async live(appends: number, how: 'close' | 'kill' | 'power cut', rotate: boolean): Promise<void> {
    ledger.user = this.#name;
    await this.clock.run(this.#work(appends, how === 'close', rotate));
    if (how === 'close') return;
    this.clock = this.clock.nextIncarnation();
    this.fs = how === 'kill' ? this.fs.kill() : this.fs.powerCut(this.random.fork());
  }

  /** The same disk, and from now on the same chance as `other` has. */
  cloneOf(other: Machine, seed: number): void {
    this.keys = other.keys;
    for (const machine of [this, other]) {
      machine.random = new SeededRandom(seed);
      machine.clock = new SimClock(new SeededRandom(seed));
    }
    const { disk } = other.fs;
    this.fs = new SimFs();
    for (const path of [DIR, `${DIR}/log`]) void this.fs.makeDirectory(path);
    for (const path of disk.paths()) {
      void this.fs.open(path, 'create').then((file) => file.close());
      this.fs.disk.replaceContent(path, disk.content(path));
    }
  }

  async #work(appends: number, close: boolean, rotate: boolean): Promise<void> {
    const rows = new RowEngine();
    const { fs: fileSystem, clock, random } = this;
    const keys = new KeyRing(this.keys, random);
    const settings = { dir: DIR, shardCount: 1, diskReserveBytes: 0, preallocateBytes: 8 * 1024 };
    const sized = { ...settings, checkpointLogBytes: 1 << 20, segmentTargetBytes: 64 * 1024 };
    const database = await openDatabase({ fileSystem, clock, random, keys }, sized, [rows]);
    for (let i = 0; i < appends; i++) {
      // Both clones write the same places, mostly other things.
      const text = `${i % 3 === 0 ? 'same' : this.#name} ${this.appends++}`;
      const value = Buffer.from(text.repeat(i % 10 === 0 ? 30 : 1));
      await rows.write(new Map([[`key-${i % 50}`, value]]));
      if (i % 150 === 149) await this.#upkeep(database);
    }
    if (rotate) {
      this.keys = [keyOf(this.keys.length + 1), ...this.keys];
      await database.rotateKeys(this.keys);
      await database.scrub();
    }
    if (close) await database.close();
  }

  async #upkeep(database: Database): Promise<void> {
    await database.checkpoint();
    await database.compact();
  }
}

beforeEach(() => {
  ledger.messages.clear();
  ledger.users.clear();
  Object.assign(ledger, { calls: 0, broken: 0 });
});

it(`no key and nonce meet two messages in ${APPENDS} appends, with crashes, restarts and clones`, async () => {
  const one = new Machine('one', 1);
  const two = new Machine('two', 2);
  const each = APPENDS / GENERATIONS / 2;
  let appends = 0;
  for (let generation = 0; generation < GENERATIONS; generation++) {
    two.cloneOf(one, generation);
    const how = (['kill', 'power cut', 'close'] as const)[generation % 3] ?? 'kill';
    for (const machine of [one, two]) {
      await machine.live(each, how, generation % 8 === 5);
      appends += each;
    }
  }
  expect(appends).toBe(APPENDS);
  expect(ledger.calls).toBeGreaterThan(APPENDS);
  // The clones did use the same keys, or this would show nothing.
  const shared = [...ledger.users.values()].filter((users) => users.size === 2);
  expect(shared.length).toBeGreaterThan(GENERATIONS);
  expect(ledger.broken).toBe(0);
}, 120_000);
