/** The engines of a database by the record types they own. Fixed once the database is open. */
import { HoldfastError, type ShardId } from '@holdfast/core';
import { CORE_RECORDS, isRequired } from '@holdfast/log';
import type { Engine, Operation } from './engine.ts';
import { decodeTransaction } from './transaction-record.ts';

export class EngineRegistry {
  readonly engines: readonly Engine[];
  readonly #byType = new Map<number, Engine>();

  constructor(engines: readonly Engine[]) {
    this.engines = engines;
    for (const engine of engines) {
      for (const type of engine.recordTypes) {
        if (this.#byType.has(type)) throw new TypeError(`record type has two engines: ${type}`);
        this.#byType.set(type, engine);
      }
    }
  }

  of(operation: Operation): Engine {
    const engine = this.#byType.get(operation.type);
    if (engine === undefined) throw new TypeError(`no engine for record type ${operation.type}`);
    return engine;
  }

  /** The operations of one stored record; empty for a record that may be skipped. */
  decode(type: number, shard: number, payload: Buffer): Operation[] {
    if (type === CORE_RECORDS.transaction) {
      return decodeTransaction(payload).flatMap((sub) =>
        this.#decodeOne(sub.type, sub.shard, sub.payload),
      );
    }
    return this.#decodeOne(type, shard, payload);
  }

  #decodeOne(type: number, shard: number, payload: Buffer): Operation[] {
    const engine = this.#byType.get(type);
    if (engine !== undefined) return [engine.decode(type, shard as ShardId, payload)];
    if (isRequired(type)) {
      throw new HoldfastError(
        'UNKNOWN_RECORD_TYPE',
        `log holds a record this version does not know, use a newer holdfast type=${type}`,
      );
    }
    return [];
  }
}
