/**
 * Merges tables in a thread of its own, over the real disk, at a limited rate.
 *
 * Invariants
 * 1. At most one thread and one job in it; further jobs wait in line.
 * 2. The thread starts with the first job. Idle, it never keeps the process alive.
 * 3. Every job settles: a thread that dies rejects its job, and the next job starts another.
 *
 * Owner: whoever composes the database for Node.
 */
import { Worker } from 'node:worker_threads';
import { HoldfastError, LIMITS, Turns } from '@holdfast/core';
import { type CompactionJob, type Compactor, compactorClosed } from './compaction.ts';
import {
  type CompactionReply,
  type CompactionRequest,
  postableJob,
  receivedError,
  receivedInfo,
} from './compaction-message.ts';
import type { TableInfo } from './table-info.ts';

export interface NodeCompactorSettings {
  /** Bytes of output written per second; default `LIMITS.compactionBytesPerSecond`. */
  readonly bytesPerSecond?: number;
}

export class NodeCompactor implements Compactor {
  readonly #bytesPerSecond: number;
  #worker: Worker | undefined;
  #running: Running | undefined;
  #closed = false;
  readonly #turns: Turns = new Turns();

  constructor(settings: NodeCompactorSettings = {}) {
    this.#bytesPerSecond = settings.bytesPerSecond ?? LIMITS.compactionBytesPerSecond;
  }

  compact(job: CompactionJob): Promise<TableInfo | undefined> {
    return this.#turns.run(() => this.#run(job)); // I1
  }

  async close(): Promise<void> {
    this.#closed = true;
    const worker = this.#worker;
    this.#worker = undefined;
    this.#running?.reject(compactorClosed());
    await worker?.terminate();
    await this.#turns.idle();
  }

  async #run(job: CompactionJob): Promise<TableInfo | undefined> {
    if (this.#closed) throw compactorClosed();
    this.#worker ??= this.#start(); // I2
    const worker = this.#worker;
    worker.ref();
    try {
      const answer = await new Promise<CompactionReply>((resolve, reject) => {
        this.#running = { resolve, reject };
        const request: CompactionRequest = {
          job: postableJob(job),
          keys: job.keys?.exportKeys(),
          bytesPerSecond: this.#bytesPerSecond,
        };
        worker.postMessage(request);
      });
      if (!answer.ok) throw receivedError(answer.error);
      return answer.info === undefined ? undefined : receivedInfo(answer.info);
    } finally {
      this.#running = undefined;
      worker.unref();
    }
  }

  #start(): Worker {
    const worker = startWorker();
    worker.unref();
    worker.on('message', (answer: CompactionReply) => this.#running?.resolve(answer));
    const died = (cause: unknown): void => {
      if (this.#worker !== worker) return;
      this.#worker = undefined; // I3
      const error = new HoldfastError('INTERNAL_ERROR', 'compaction thread died', { cause });
      this.#running?.reject(error);
    };
    worker.on('error', died);
    worker.on('exit', died);
    return worker;
  }
}

interface Running {
  resolve(answer: CompactionReply): void;
  reject(error: HoldfastError): void;
}

function startWorker(): Worker {
  const fromSource = import.meta.url.endsWith('.ts');
  return fromSource
    ? startFromSource(new URL('./node-compaction-worker.ts', import.meta.url))
    : new Worker(new URL('./node-compaction-worker.js', import.meta.url), { execArgv: [] });
}

/**
 * Development and tests: Node 20 applies no `--import` loader to a thread's entry file, so
 * the thread registers the TypeScript loader itself and then imports the entry.
 */
function startFromSource(entry: URL): Worker {
  const loader = import.meta.resolve('tsx/esm/api');
  const boot =
    `import(${JSON.stringify(loader)}).then(({ register }) => ` +
    `{ register(); return import(${JSON.stringify(entry.href)}); })`;
  return new Worker(boot, { eval: true, execArgv: ['--conditions', 'x-source'] });
}
