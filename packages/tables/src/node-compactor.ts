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
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { HoldfastError, LIMITS } from '@holdfast/core';
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
  /** Rejects the running job. */
  #giveUp: ((error: HoldfastError) => void) | undefined;
  #closed = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(settings: NodeCompactorSettings = {}) {
    this.#bytesPerSecond = settings.bytesPerSecond ?? LIMITS.compactionBytesPerSecond;
  }

  compact(job: CompactionJob): Promise<TableInfo | undefined> {
    const run = this.#last.then(() => this.#run(job)); // I1
    this.#last = run.catch(() => undefined);
    return run;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const worker = this.#worker;
    this.#worker = undefined;
    this.#giveUp?.(compactorClosed());
    await worker?.terminate();
    await this.#last;
  }

  async #run(job: CompactionJob): Promise<TableInfo | undefined> {
    if (this.#closed) throw compactorClosed();
    this.#worker ??= startWorker(); // I2
    const worker = this.#worker;
    const request: CompactionRequest = {
      job: postableJob(job),
      bytesPerSecond: this.#bytesPerSecond,
    };
    worker.ref();
    try {
      const answer = await this.#ask(worker, request);
      if (!answer.ok) throw receivedError(answer.error);
      return answer.info === undefined ? undefined : receivedInfo(answer.info);
    } finally {
      worker.removeAllListeners();
      worker.unref();
    }
  }

  #ask(worker: Worker, request: CompactionRequest): Promise<CompactionReply> {
    return new Promise((resolve, reject) => {
      this.#giveUp = reject;
      const died = (cause: unknown): void => {
        this.#worker = undefined; // I3
        reject(new HoldfastError('INTERNAL_ERROR', 'compaction thread died', { cause }));
      };
      worker.once('message', resolve);
      worker.once('error', died);
      worker.once('exit', died);
      worker.postMessage(request);
    });
  }
}

function startWorker(): Worker {
  // Built, the neighbour is JavaScript; from source it is TypeScript and needs the loader.
  const fromSource = import.meta.url.endsWith('.ts');
  const entry = `./node-compaction-worker.${fromSource ? 'ts' : 'js'}`;
  const worker = new Worker(new URL(entry, import.meta.url), {
    name: 'holdfast-compaction',
    execArgv: fromSource ? sourceArguments() : [],
  });
  worker.unref();
  return worker;
}

function sourceArguments(): string[] {
  const loader = createRequire(import.meta.url).resolve('tsx');
  return ['--import', pathToFileURL(loader).href, '--conditions', 'x-source'];
}
