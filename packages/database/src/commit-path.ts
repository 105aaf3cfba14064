/**
 * From planned operations to visible state: records to the log, effects after durability.
 *
 * Invariants
 * 1. Operations are applied in log order, all of a commit in one turn, after its batch is durable.
 * 2. Commits refused with effect `none` are told together, after everything in flight has
 *    ended and the engines have dropped their plans; until then nothing new is accepted.
 * 3. The first failure with effect `unknown` is final: no later commit is accepted. What is
 *    in flight then and becomes durable is still applied, but never after a record that
 *    could not be.
 * 4. After that failure plans are neither dropped nor made again: they could rest on a commit
 *    of which nobody knows whether it happened. So no sink hears `none` any more.
 */
import { HoldfastError, type Lsn } from '@holdfast/core';
import { CORE_RECORDS, type CommitSink, type Log, type LogRecord } from '@holdfast/log';
import type { CommitOptions, Operation, OperationSink } from './engine.ts';
import type { EngineRegistry } from './engine-registry.ts';
import { encodeTransaction } from './transaction-record.ts';

/** What the commit path tells its owner. */
export interface CommitObserver {
  /** An operation is being applied: its shard changed. */
  applied(operation: Operation): void;
  /** A batch has been applied up to `lsn`. */
  settled(lsn: Lsn): void;
  failed(error: HoldfastError): void;
}

export class CommitPath {
  readonly #log: Log;
  readonly #registry: EngineRegistry;
  readonly #observer: CommitObserver;
  #inFlight = 0;
  #refused: PendingCommit[] = [];
  #refusal: HoldfastError | undefined;
  #failure: HoldfastError | undefined;
  /** A record that an engine could not apply: nothing after it is applied. I3. */
  #unapplied: HoldfastError | undefined;
  #appliedLsn: Lsn;

  constructor(log: Log, registry: EngineRegistry, appliedLsn: Lsn, observer: CommitObserver) {
    this.#log = log;
    this.#registry = registry;
    this.#appliedLsn = appliedLsn;
    this.#observer = observer;
    log.onBatch((lastLsn) => this.#batchApplied(lastLsn));
    log.onFailed((error) => this.fail(error));
  }

  /** Everything up to here is applied. */
  get appliedLsn(): Lsn {
    return this.#appliedLsn;
  }

  commit(operations: readonly Operation[], sink: OperationSink, options?: CommitOptions): void {
    if (this.#failure !== undefined) throw nodeFailed(this.#failure);
    if (this.#refusal !== undefined) throw this.#refusal;
    const pending = new PendingCommit(this, operations, sink);
    this.#log.submit([this.#record(operations)], pending, options);
    this.#inFlight++;
  }

  /** A record of no engine: nothing is applied, nothing was planned. */
  note(record: LogRecord, sink: CommitSink): void {
    if (this.#failure !== undefined) throw nodeFailed(this.#failure);
    if (this.#refusal !== undefined) throw this.#refusal;
    this.#log.submit([record], sink);
  }

  /** Stops everything: reads may go on, no commit will be accepted. */
  fail(error: HoldfastError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#observer.failed(error);
  }

  durable(pending: PendingCommit, lsn: Lsn): void {
    this.#inFlight--;
    if (this.#unapplied !== undefined) {
      pending.sink.failed(this.#unapplied);
      return;
    }
    try {
      for (const operation of pending.operations) this.apply(operation, lsn);
    } catch (cause) {
      const error = new HoldfastError('INVARIANT_VIOLATED', 'an engine could not apply a record', {
        effect: 'unknown',
        cause,
      });
      this.#unapplied = error;
      this.fail(error);
      pending.sink.failed(error);
      return;
    }
    pending.sink.visible(lsn);
  }

  /** Makes one operation visible; also used by replay. */
  apply(operation: Operation, lsn: Lsn): void {
    this.#observer.applied(operation);
    this.#registry.of(operation).apply(operation, lsn);
    if (lsn > this.#appliedLsn) this.#appliedLsn = lsn;
  }

  /** Replay: everything up to `lsn` is applied, though this record may have changed nothing. */
  passed(lsn: Lsn): void {
    if (lsn > this.#appliedLsn) this.#appliedLsn = lsn;
  }

  refused(pending: PendingCommit, error: HoldfastError): void {
    this.#inFlight--;
    if (error.effect !== 'none') this.fail(error);
    if (this.#failure !== undefined) {
      pending.sink.failed(error.effect === 'none' ? undecided(this.#failure) : error); // I4
      return;
    }
    this.#refused.push(pending);
    this.#refusal ??= error;
    this.#tellRefused();
  }

  #batchApplied(lastLsn: Lsn): void {
    if (this.#unapplied === undefined && lastLsn > this.#appliedLsn) this.#appliedLsn = lastLsn;
    this.#tellRefused();
    this.#observer.settled(lastLsn);
  }

  #tellRefused(): void {
    const error = this.#refusal;
    if (error === undefined || this.#inFlight > 0) return;
    const refused = this.#refused;
    this.#refused = [];
    this.#refusal = undefined;
    for (const engine of this.#registry.engines) engine.discardPlanned();
    for (const pending of refused) pending.sink.failed(error);
  }

  #record(operations: readonly Operation[]): {
    type: number;
    shard: number;
    tenant: number;
    parts: readonly Uint8Array[];
  } {
    const [first] = operations;
    if (first === undefined) throw new TypeError('a commit needs at least one operation');
    if (operations.length === 1) {
      const parts = this.#registry.of(first).encode(first);
      return { type: first.type, shard: first.shard, tenant: 0, parts };
    }
    const parts = encodeTransaction(
      operations.map((operation) => ({
        type: operation.type,
        shard: operation.shard,
        parts: this.#registry.of(operation).encode(operation),
      })),
    );
    return { type: CORE_RECORDS.transaction, shard: first.shard, tenant: 0, parts };
  }
}

class PendingCommit implements CommitSink {
  readonly #path: CommitPath;
  readonly operations: readonly Operation[];
  readonly sink: OperationSink;

  constructor(path: CommitPath, operations: readonly Operation[], sink: OperationSink) {
    this.#path = path;
    this.operations = operations;
    this.sink = sink;
  }

  durable(firstLsn: Lsn): void {
    this.#path.durable(this, firstLsn);
  }

  failed(error: HoldfastError): void {
    this.#path.refused(this, error);
  }
}

/** A commit was not accepted. A newer writer is told as what it is: trying again is of no use. */
export function nodeFailed(cause: HoldfastError): HoldfastError {
  if (cause.kind === 'fenced') {
    return new HoldfastError(cause.code, cause.message, { details: cause.details, cause });
  }
  return new HoldfastError('NODE_FAILED', FAILED, { cause });
}

function undecided(cause: HoldfastError): HoldfastError {
  return new HoldfastError('NODE_FAILED', FAILED, { effect: 'unknown', cause });
}

const FAILED = 'storage failed earlier, restart the node to recover from disk';
