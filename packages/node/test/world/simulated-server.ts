/**
 * The whole real node on a simulated disk, clock and network, and what happens to it: it dies at a
 * seeded call of the disk (also while it recovers, or drains) or at a seeded moment, by a power cut
 * or `kill -9`; it is closed in an orderly way; its disk fails; and each time it is opened again.
 *
 * Invariants
 * 1. When it dies, everything of it dies in the same turn: clock, connections, disk.
 * 2. One incarnation at a time.
 */
import { isHoldfastError, type Logger, SILENT, sleep, systemErrorCode } from '@holdfast/core';
import {
  isSimDead,
  type SeededRandom,
  type SimClock,
  SimFs,
  type SimNetwork,
} from '@holdfast/testkit';
import type { HoldfastNode } from '../../src/holdfast-node.ts';
import { openNode } from '../../src/open-node.ts';

/** Codes of an open or a close that a fault of the disk explains. */
const EXPLAINED: ReadonlySet<string> = new Set(['STORAGE_UNAVAILABLE', 'NODE_FAILED']);

/** Log events of an answer that nobody could explain. */
const FACES: ReadonlySet<string> = new Set([
  'protocol.failed',
  'protocol.short-read',
  'request-failed',
]);

export interface ServerTotals {
  starts: number;
  crashes: number;
  crashesWhileStarting: number;
  orderlyCloses: number;
  diskFaults: number;
  checkpoints: number;
}

export class SimulatedServer {
  readonly #random: SeededRandom;
  readonly #clock: SimClock;
  readonly #network: SimNetwork;
  readonly #totals: ServerTotals;
  readonly #complaints: string[] = [];
  #own: SimClock;
  #fs: SimFs;
  #node: HoldfastNode | undefined;
  #died: Promise<void> = Promise.resolve();
  #die: () => void = () => undefined;
  #alive = false;

  constructor(random: SeededRandom, clock: SimClock, network: SimNetwork, totals: ServerTotals) {
    this.#random = random;
    this.#clock = clock;
    this.#network = network;
    this.#totals = totals;
    this.#own = clock.sibling();
    this.#fs = new SimFs();
  }

  get disk(): SimFs['disk'] {
    return this.#fs.disk;
  }

  /** What the HTTP side logged as an error of ours. */
  get complaints(): readonly string[] {
    return this.#complaints;
  }

  /** One incarnation, from start to some end. */
  async live(): Promise<void> {
    this.#begin();
    const lifeMs = this.#random.between(20, 700);
    const end = this.#random.pick(['call', 'call', 'call', 'moment', 'moment', 'close'] as const);
    const timer = this.#clock.after(lifeMs, () => {
      if (end === 'moment') this.#dieNow();
    });
    if (end === 'call')
      this.#dieAtCall(1 + this.#random.integer(this.#random.pick([40, 300, 900])));
    const faulty = this.#random.chance(0.2);
    if (faulty) this.#planDiskFault();
    try {
      await this.#orDeath(this.#run(lifeMs + (end === 'close' ? 0 : 1000)));
    } catch (error) {
      if (!this.#isExplained(error, faulty)) throw error;
    }
    timer.cancel();
    this.#endLife();
    this.disk.onCall = undefined;
    this.disk.faults.clear();
    await sleep(this.#clock, 1 + this.#random.integer(60));
  }

  /** The last incarnation: nothing fails any more. */
  async liveOn(): Promise<HoldfastNode> {
    this.#begin();
    await this.#orDeath(this.#open());
    return this.#node as HoldfastNode;
  }

  async reopen(): Promise<HoldfastNode> {
    await this.#node?.close();
    this.#endLife();
    return this.liveOn();
  }

  async close(): Promise<void> {
    await this.#node?.close();
    this.#endLife();
  }

  async #run(lifeMs: number): Promise<void> {
    await this.#open();
    const node = this.#node as HoldfastNode;
    const until = this.#clock.monotonicMs() + lifeMs;
    while (this.#clock.monotonicMs() < until && node.failure === undefined) {
      await sleep(this.#clock, this.#random.between(10, 120));
      if (this.#random.chance(0.5)) {
        await node.checkpoint();
        this.#totals.checkpoints++;
      }
    }
    // A failed node goes on serving reads until its owner ends it.
    if (node.failure !== undefined) await sleep(this.#clock, this.#random.between(1, 100));
    await node.close();
    this.#totals.orderlyCloses++;
  }

  async #open(): Promise<void> {
    this.#totals.starts++;
    const own = this.#own;
    this.#node = await openNode(
      {
        dir: '/data',
        shardCount: 2,
        longPollTimeoutMs: 150,
        maxChunkBytes: 600,
        drainTimeoutMs: 80,
      },
      {
        clock: own,
        random: this.#random,
        fileSystem: this.#fs,
        logger: this.#logger(),
        holdProcess: () => () => undefined,
      },
      {
        database: {
          checkpointLogBytes: 32 * 1024,
          segmentTargetBytes: 40 * 1024,
          preallocateBytes: 8 * 1024,
          diskReserveBytes: 0,
        },
        streams: {
          tailCacheBytesPerStream: this.#random.pick([0, 200, 4096]),
          reaperIntervalMs: 200,
          reaperStartGraceMs: 100,
        },
        protocol: {
          sseHeartbeatMs: 50,
          sseRotateMs: 300,
          writeIdleTimeoutMs: 200,
          // The small one drops readers that do not read, or sends them back to catching up.
          maxSseBufferedBytes: this.#random.pick([500, 64 * 1024]),
        },
      },
    );
    this.#network.listen(this.#node.handler);
  }

  #begin(): void {
    const own = this.#own;
    const random = this.#random.fork();
    // A slow disk: more is in flight at once, and more rests on it.
    const [slow, longestMs] = random.pick([
      [0.2, 3],
      [0.2, 3],
      [0.5, 12],
    ] as const);
    const wait = (): Promise<void> =>
      random.chance(slow) ? sleep(own, random.integer(longestMs * 8) / 8) : own.yieldPoint();
    const next = { yieldPoint: wait };
    // Also after an orderly close: then nothing may be lost by a power cut.
    this.#fs = random.chance(0.3) ? this.#fs.kill(next) : this.#fs.powerCut(random, next);
    this.#alive = true;
    this.#died = new Promise((resolve) => {
      this.#die = resolve;
    });
  }

  #dieAtCall(nth: number): void {
    const at = this.disk.calls() + nth;
    this.disk.faults.plan({ effect: 'halt', nth, performed: this.#random.chance(0.5) });
    this.disk.onCall = ({ index }) => {
      if (index === at) this.#dieNow(); // the fault halts the disk in the middle of this call
    };
  }

  #planDiskFault(): void {
    this.#totals.diskFaults++;
    const effect = this.#random.pick(['EIO', 'short-write', 'lying-sync'] as const);
    const operations = ['write', 'datasync', 'syncDirectory', 'open', 'rename'] as const;
    this.disk.faults.plan({
      effect,
      nth: 1 + this.#random.integer(300),
      ...(effect === 'EIO' ? { operations, performed: this.#random.chance(0.3) } : {}),
    });
  }

  /** I1. */
  #dieNow(): void {
    if (!this.#alive) return;
    this.#totals.crashes++;
    if (this.#node === undefined) this.#totals.crashesWhileStarting++;
    this.#endLife();
    this.#die();
  }

  #endLife(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.disk.halt();
    this.#node = undefined;
    this.#network.crash();
    this.#own = this.#own.nextIncarnation();
  }

  /** What a dead process was waiting for never comes. */
  async #orDeath(work: Promise<void>): Promise<void> {
    work.catch(() => undefined);
    await Promise.race([work, this.#died]);
  }

  #isExplained(error: unknown, faulty: boolean): boolean {
    if (isSimDead(error)) return true;
    if (!faulty) return false;
    return isHoldfastError(error)
      ? EXPLAINED.has(error.code)
      : systemErrorCode(error) !== undefined;
  }

  #logger(): Logger {
    return {
      ...SILENT,
      error: (event, fields) => {
        if (!FACES.has(event)) return; // storage says when its disk fails, and here disks do
        this.#complaints.push(`${event} ${JSON.stringify(fields)}`);
      },
    };
  }
}
