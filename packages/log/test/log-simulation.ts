/**
 * Random lives of a log on a simulated disk, held against a model.
 *
 * A history is a sequence of lives on one disk. In each the log is opened, worked on and
 * ended: closed, killed, cut off from power at any call, or hit by faults. After each the
 * records that are there must be exactly
 *
 * 1. everything acknowledged that truncation did not allow to go,
 * 2. then whole submissions that nobody was told about, in order, none left out in between,
 * 3. and nothing that was absent once, or refused with effect `none`.
 *
 * Every second history is encrypted, and keys are rotated in it.
 *
 * From one seed the same history runs every time; `runLogHistories` names the seed it fails at.
 */
import { type HoldfastError, KeyRing, type Lsn, isHoldfastError, onCut } from '@holdfast/core';
import { type Log, type LogRecord, type StoredRecord, openLog } from '@holdfast/log';
import { keyOf } from './sim-log.ts';
import {
  SeededRandom,
  SimClock,
  SimFs,
  isSimDead,
  type HistoryRange,
  runHistories,
} from '@holdfast/testkit';

const DIRECTORY = '/log';
const DATABASE_ID = Buffer.from('0123456789abcdef');
/** And the seed. */
const REPLAY = 'npm run simulate -- --only log --histories 1 --seed';
const MAX_LIVES = 6;
const MAX_ACTIONS = 24;

export interface HistoriesReport {
  readonly histories: number;
  readonly lives: number;
  readonly acknowledged: number;
  readonly tornTails: number;
  /** Lives that ended in the middle of a call. */
  readonly crashes: number;
  readonly refusedForSpace: number;
  /** How often each cut point was passed. */
  readonly cutPoints: ReadonlyMap<string, number>;
}

interface Counters {
  lives: number;
  acknowledged: number;
  tornTails: number;
  crashes: number;
  refusedForSpace: number;
}

/** Runs `count` histories from `seed` on. Rejects at the first that breaks a promise. */
export async function runLogHistories(range: HistoryRange): Promise<HistoriesReport> {
  const counters = { lives: 0, acknowledged: 0, tornTails: 0, crashes: 0, refusedForSpace: 0 };
  const cutPoints = new Map<string, number>();
  const off = onCut((name) => {
    cutPoints.set(name, (cutPoints.get(name) ?? 0) + 1);
  });
  try {
    await runHistories(range, REPLAY, (seed) => new History(seed, counters).run());
  } finally {
    off();
  }
  return { histories: range.count, ...counters, cutPoints };
}

/** The trace of one history: equal for equal seeds. */
export async function traceOfLogHistory(seed: number): Promise<string> {
  const history = new History(seed, {
    lives: 0,
    acknowledged: 0,
    tornTails: 0,
    crashes: 0,
    refusedForSpace: 0,
  });
  await history.run();
  return history.trace();
}

interface Submission {
  readonly payloads: readonly Buffer[];
  readonly firstLsn: number;
}

/** What must, and what may be there. */
class Model {
  /** Payloads by LSN - 1; what truncation took stays here. */
  readonly known: Buffer[] = [];
  /** Accepted, and nobody has been told how it ended. */
  pending: Submission[] = [];
  /** Records below may be gone. */
  mayBeGoneBefore = 1;

  get durableLsn(): number {
    return this.known.length;
  }

  acknowledge(submission: Submission, lsn: number): void {
    check(this.pending[0] === submission, 'acknowledged out of order');
    check(lsn === submission.firstLsn, `acknowledged with lsn ${lsn}`);
    check(lsn === this.durableLsn + 1, `lsn ${lsn} does not follow ${this.durableLsn}`);
    this.pending.shift();
    this.known.push(...submission.payloads);
  }

  refuse(submission: Submission): void {
    this.pending = this.pending.filter((other) => other !== submission);
  }

  /** A running log shows exactly what is acknowledged. */
  checkRunning(records: readonly StoredRecord[], upTo: number): void {
    this.#checkKnown(records);
    const last = records.at(-1)?.lsn ?? upTo;
    check(last >= upTo, `replay ended at ${last} before ${upTo}`);
  }

  /** Takes over what a new life found. */
  adopt(records: readonly StoredRecord[], nextLsn: number): void {
    const last = nextLsn - 1;
    check(last >= this.durableLsn, `acknowledged up to ${this.durableLsn}, found up to ${last}`);
    check((records.at(-1)?.lsn ?? last) === last, 'replay does not reach the last lsn');
    while (this.durableLsn < last) {
      const submission = this.pending.shift();
      check(submission !== undefined, `record ${this.durableLsn + 1} was never submitted`);
      check(submission.firstLsn === this.durableLsn + 1, 'a submission was left out');
      this.known.push(...submission.payloads);
    }
    check(this.durableLsn === last, `half a submission is there, up to ${last}`);
    this.pending = [];
    this.#checkKnown(records);
  }

  #checkKnown(records: readonly StoredRecord[]): void {
    const first = records[0]?.lsn ?? this.durableLsn + 1;
    check(first <= Math.max(1, this.mayBeGoneBefore), `records before ${first} are gone`);
    let expected: number = first;
    for (const record of records) {
      check(record.lsn === expected, `lsn ${record.lsn} where ${expected} was expected`);
      const payload = this.known[record.lsn - 1];
      check(payload !== undefined && payload.equals(record.payload), `wrong record ${record.lsn}`);
      expected++;
    }
  }
}

class History {
  readonly #random: SeededRandom;
  readonly #counters: Counters;
  readonly #model = new Model();
  readonly #settings: {
    segmentTargetBytes: number;
    preallocateBytes: number;
    maxBatchBytes: number;
  };
  readonly #faulty: boolean;
  readonly #keys: KeyRing | undefined;
  #fs: SimFs;
  #clock: SimClock;

  constructor(seed: number, counters: Counters) {
    const random = new SeededRandom(seed);
    this.#random = random;
    if (seed % 2 === 0) this.#keys = new KeyRing([keyOf(1)], random.fork());
    this.#counters = counters;
    this.#faulty = random.chance(0.5);
    this.#clock = new SimClock(random.fork());
    this.#fs = new SimFs({ yieldPoint: this.#yieldPoint() });
    this.#settings = {
      segmentTargetBytes: 4096 * random.between(4, 16),
      preallocateBytes: 4096 * random.between(2, 8),
      maxBatchBytes: random.pick([200, 2_000, 20_000]),
    };
  }

  trace(): string {
    return `${this.#fs.disk.traceHash()} ${this.#clock.traceHash()}`;
  }

  async run(): Promise<void> {
    const lives = this.#random.between(2, MAX_LIVES);
    for (let life = 0; life < lives; life++) await this.#live(false);
    // Whatever happened before: without faults it opens, works and is whole.
    await this.#live(true);
  }

  async #live(last: boolean): Promise<void> {
    this.#counters.lives++;
    const { disk } = this.#fs;
    disk.faults.clear();
    disk.capacityBytes = Infinity;
    if (!last) this.#planTrouble();
    let log: Log | undefined;
    try {
      log = await this.#clock.run(this.#open());
      if (log.recovery.tornBytes > 0) this.#counters.tornTails++;
      await this.#clock.run(this.#check(log, true));
      await this.#clock.run(this.#work(log, last));
      if (last || this.#random.chance(0.3)) {
        await this.#clock.run(log.close());
        check(!last || this.#model.pending.length === 0, 'close left submissions unsettled');
      }
    } catch (error) {
      this.#tolerate(error, last);
    }
    if (!last) this.#endLife();
  }

  /** Only what the disk did may end a life: never damage, never a broken promise. */
  #tolerate(error: unknown, last: boolean): void {
    const cause = error instanceof Error ? error.cause : undefined;
    const fromDisk = isSimDead(error) || isErrno(error) || isErrno(cause) || isSimDead(cause);
    const refused =
      isHoldfastError(error) && ['DISK_FULL', 'STORAGE_UNAVAILABLE'].includes(error.code);
    if (last || !(fromDisk || refused)) throw error;
    if (isSimDead(error)) this.#counters.crashes++;
  }

  #endLife(): void {
    const next = { yieldPoint: this.#yieldPointOfNextLife() };
    this.#fs = this.#random.chance(0.7)
      ? this.#fs.powerCut(this.#random.fork(), next)
      : this.#fs.kill(next);
  }

  #yieldPoint(): () => Promise<void> {
    const clock = this.#clock;
    return () => clock.yieldPoint();
  }

  #yieldPointOfNextLife(): () => Promise<void> {
    this.#clock = this.#clock.nextIncarnation();
    return this.#yieldPoint();
  }

  #planTrouble(): void {
    const random = this.#random;
    const { disk } = this.#fs;
    if (random.chance(0.7)) {
      const performed = random.chance(0.5);
      disk.faults.plan({ effect: 'halt', nth: random.between(1, 150), performed });
    }
    if (!this.#faulty) return;
    const nth = random.between(1, 60);
    const effect = random.pick(['EIO', 'ENOSPC', 'short-write', 'lying-sync', 'space'] as const);
    if (effect === 'space') disk.capacityBytes = disk.usedBytes + 4096 * random.between(0, 40);
    else if (effect === 'EIO') {
      disk.faults.plan({ effect, nth, operations: ['write', 'datasync', 'syncDirectory', 'open'] });
    } else disk.faults.plan({ effect, nth, times: effect === 'short-write' ? 20 : 1 });
  }

  #open(): Promise<Log> {
    return openLog(
      {
        fileSystem: this.#fs,
        clock: this.#clock,
        random: this.#random.fork(),
        ...(this.#keys === undefined ? {} : { keys: this.#keys }),
      },
      { dir: DIRECTORY, databaseId: DATABASE_ID, diskReserveBytes: 0, ...this.#settings },
    );
  }

  async #work(log: Log, last: boolean): Promise<void> {
    const actions = this.#random.between(1, last ? 6 : MAX_ACTIONS);
    for (let i = 0; i < actions; i++) {
      const action = this.#random.integer(100);
      if (action < 70) this.#submit(log);
      else if (action < 78) await this.#clock.yieldPoint();
      else if (action < 86) await log.sync();
      else if (action < 89) await log.roll();
      else if (action < 90) await this.#rotate(log);
      else if (action < 94) await this.#truncate(log);
      else if (action < 97) await this.#check(log, false);
      else await this.#verify(log);
      const { durableLsn } = this.#model;
      check(log.durableLsn === durableLsn, `durable ${log.durableLsn}, told ${durableLsn}`);
    }
  }

  #submit(log: Log): void {
    const payloads = Array.from({ length: this.#random.between(1, 3) }, () => this.#payload());
    const submission = { payloads, firstLsn: log.nextLsn };
    let heard = 0;
    const records = payloads.map((payload): LogRecord => ({
      type: 0x10,
      shard: 0,
      tenant: 0,
      parts: [payload.subarray(0, 3), payload.subarray(3)],
    }));
    this.#model.pending.push(submission);
    try {
      log.submit(
        records,
        {
          durable: (lsn) => {
            check(++heard === 1, 'a sink heard twice');
            this.#counters.acknowledged++;
            this.#model.acknowledge(submission, lsn);
          },
          failed: (error) => {
            check(++heard === 1, 'a sink heard twice');
            this.#failed(submission, error);
          },
        },
        { reclaims: this.#random.chance(0.2) },
      );
    } catch (error) {
      check(isHoldfastError(error), `not a typed error: ${String(error)}`);
      this.#failed(submission, error);
    }
  }

  #failed(submission: Submission, error: HoldfastError): void {
    if (error.code === 'DISK_FULL') this.#counters.refusedForSpace++;
    if (error.effect === 'none') this.#model.refuse(submission);
  }

  /** Small, empty, all zero, larger than a batch, or a piece of the log itself. */
  #payload(): Buffer {
    const random = this.#random;
    const kind = random.integer(10);
    if (kind < 5) return random.bytes(random.integer(120));
    if (kind < 7) return random.bytes(random.between(500, 3_000));
    if (kind < 8) return Buffer.alloc(random.between(0, 6_000));
    if (kind < 9) return random.bytes(random.between(4_000, 12_000));
    const paths = this.#fs.disk.paths();
    if (paths.length === 0) return Buffer.from('nothing yet');
    const content = this.#fs.disk.content(random.pick(paths));
    const blocks = Math.max(1, Math.floor(content.length / 4096));
    // Shifted so that a copied block may stand on a block boundary again.
    const shift = random.pick([0, 4096 - 128 - 12]);
    return Buffer.concat([
      Buffer.alloc(shift),
      content.subarray(0, 4096 * Math.min(3, random.between(1, blocks))),
    ]);
  }

  async #rotate(log: Log): Promise<void> {
    const keys = this.#keys;
    if (keys === undefined) return log.rotateKey();
    const fresh = keyOf(keys.ids.length + 1);
    if (keys.ids.length < 200) keys.replace([fresh, ...keys.exportKeys()]);
    await log.rotateKey();
    const active = log.segments().find((segment) => segment.state === 'active');
    check(active === undefined || active.keyId === keys.active.id, 'not under the new key');
  }

  async #truncate(log: Log): Promise<void> {
    const before = this.#random.between(1, this.#model.durableLsn + 1);
    this.#model.mayBeGoneBefore = Math.max(this.#model.mayBeGoneBefore, before);
    await log.truncateBefore(before as Lsn);
  }

  async #check(log: Log, opened: boolean): Promise<void> {
    const durable = log.durableLsn;
    const records: StoredRecord[] = [];
    for await (const record of log.replay()) records.push(record);
    if (opened) this.#model.adopt(records, log.nextLsn);
    else this.#model.checkRunning(records, durable);
  }

  async #verify(log: Log): Promise<void> {
    const report = await log.verify();
    const lost = report.problems.filter((problem) => problem.firstLsn !== undefined);
    // A call that met a planned fault is rightly reported; damage would be wrong.
    const real = lost.filter((problem) => !problem.message.startsWith('cannot be read'));
    check(real.length === 0, `verify found ${JSON.stringify(real)}`);
  }
}

function isErrno(error: unknown): boolean {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' && /^E[A-Z]+$/.test(code);
}

function check(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`promise broken: ${message}`);
}
