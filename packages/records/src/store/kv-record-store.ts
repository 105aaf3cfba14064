/**
 * A record store on a `KvStore`: gives out the turns of records, decides what is written, and makes
 * room for it. How rows are read and written, and what holds when that fails: `stored-records.ts`.
 *
 * Invariants
 * 1. Whatever changes a record, or reads what is not at hand, does so in a turn of that record.
 * 2. Between deciding about values and the batch that writes them no other turn of the record comes.
 *
 * Owner: who opened it.
 */
import { HoldfastError, type Logger, RECORD_LIMITS } from '@holdfast/core';
import type { RecordId } from '../record-key.ts';
import type { VerifiedDescriptor } from '../record-descriptor.ts';
import type {
  RecordHead,
  RecordStore,
  RecordStoreUsage,
  RecordWriteOptions,
  RecordWriteReport,
  SequenceFloor,
  ValueOutcome,
} from '../record-store.ts';
import type { VerifiedValue } from '../signed-value.ts';
import { type Decision, decideValue, subkeysWith } from './decide-values.ts';
import type { FloorIndex } from './floor-index.ts';
import type { RecordIndex } from './record-index.ts';
import { type RecordBounds, RecordRoom } from './record-room.ts';
import { type FloorMap, noSubkeys, type StoredHead } from './record-rows.ts';
import { RecordTurns } from './record-turns.ts';
import type { PreparedHead, StoredRecords } from './stored-records.ts';

/** Of a record that was not as memory knew it: more of them is no accident. */
const MAX_TRIES = 4;
const NO_FLOORS: FloorMap = new Map();

export interface KvRecordStoreParts {
  readonly records: StoredRecords;
  readonly index: RecordIndex;
  readonly floors: FloorIndex;
  /** `undefined`: there are none. */
  readonly bounds: RecordBounds | undefined;
  readonly maxFloors: number;
  readonly nowMs: () => number;
  readonly logger: Logger;
}

export class KvRecordStore implements RecordStore {
  readonly #records: StoredRecords;
  readonly #index: RecordIndex;
  readonly #floors: FloorIndex;
  readonly #maxFloors: number;
  readonly #nowMs: () => number;
  readonly #logger: Logger;
  readonly #turns = new RecordTurns();
  readonly #room: RecordRoom;
  #evicted = 0;
  #closed = false;

  constructor(parts: KvRecordStoreParts) {
    const { records, index, floors, bounds, maxFloors, nowMs, logger } = parts;
    this.#records = records;
    this.#index = index;
    this.#floors = floors;
    this.#maxFloors = maxFloors;
    this.#nowMs = nowMs;
    this.#logger = logger;
    this.#room = new RecordRoom(index, this.#turns, bounds, (record) => this.#evict(record));
  }

  /** Bounds may have been larger in an earlier life. */
  async fit(): Promise<void> {
    await this.#room.fit();
    this.#trimFloors();
    await this.#turns.idle();
  }

  async head(record: RecordId): Promise<RecordHead | undefined> {
    const head = await this.#head(record);
    if (head !== undefined) this.#touch(record);
    return this.#shown(head);
  }

  async peek(record: RecordId): Promise<RecordHead | undefined> {
    return this.#shown(await this.#head(record));
  }

  async value(record: RecordId, subkey: number): Promise<VerifiedValue | undefined> {
    const head = await this.#head(record);
    if (head === undefined) return undefined;
    this.#touch(record);
    if (head.subkeys[subkey] === undefined) return undefined;
    const value = await this.#records.readValue(head, subkey);
    return value ?? this.#turns.run(record, () => this.#valueInTurn(record, subkey));
  }

  async floor(record: RecordId, subkey: number): Promise<SequenceFloor | undefined> {
    this.#assertOpen();
    return this.#turns.run(record, async () => {
      const head = await this.#records.load(record);
      const stored = head?.subkeys[subkey];
      if (stored !== undefined) return { sequence: stored.sequence, digest: stored.digest };
      const floors = await this.#floorsOf(record);
      return floors.get(subkey);
    });
  }

  async create(descriptor: VerifiedDescriptor, detail?: Uint8Array): Promise<RecordHead> {
    this.#assertOpen();
    const record = descriptor.id;
    return this.#turns.run(record, () =>
      this.#again(async () => {
        if ((await this.#records.load(record)) !== undefined) {
          throw new HoldfastError('RECORD_EXISTS', 'the record is there already');
        }
        const copy = detail === undefined ? undefined : Buffer.from(detail);
        const head = { ...this.#nothingOf(descriptor), touchedAtMs: this.#nowMs(), detail: copy };
        const done = await this.#put(this.#records.prepare(head), []);
        if (done === 'full') throw noRoom();
        return done;
      }),
    );
  }

  async write(
    descriptor: VerifiedDescriptor,
    values: readonly VerifiedValue[],
    options: RecordWriteOptions,
  ): Promise<RecordWriteReport> {
    this.#assertOpen();
    const copy = checkValues(descriptor, values);
    return this.#turns.run(descriptor.id, () =>
      this.#again(() => this.#write(descriptor, copy, options)),
    );
  }

  async setDetail(record: RecordId, detail: Uint8Array): Promise<void> {
    this.#assertOpen();
    const copy = Buffer.from(detail);
    await this.#turns.run(record, () =>
      this.#again(async () => {
        const head = await this.#records.load(record);
        if (head === undefined) return 'absent';
        const after = { ...head, detail: copy, touchedAtMs: this.#nowMs() };
        const done = await this.#put(this.#records.prepareAgain(after), []);
        if (done === 'full') throw noRoom();
        return done;
      }),
    );
  }

  async delete(record: RecordId): Promise<boolean> {
    this.#assertOpen();
    const deleted = await this.#turns.run(record, () =>
      this.#again(async () => {
        if ((await this.#records.load(record)) === undefined) return false;
        return (await this.#records.remove(record)) || undefined;
      }),
    );
    this.#trimFloors();
    return deleted;
  }

  async *entries(): AsyncGenerator<RecordHead, void, undefined> {
    this.#assertOpen();
    for (const record of this.#index.ids()) {
      const head = this.#shown(await this.#head(record));
      if (head !== undefined) yield head;
    }
  }

  usage(): RecordStoreUsage {
    const { records, bytes } = this.#index;
    return { records, storedBytes: bytes, evicted: this.#evicted, floors: this.#floors.count };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#turns.idle();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // -- reading ---------------------------------------------------------------------------------

  async #head(record: RecordId): Promise<StoredHead | undefined> {
    this.#assertOpen();
    if (this.#index.get(record) === undefined) return undefined;
    const cached = this.#records.cached(record);
    return cached ?? this.#turns.run(record, () => this.#records.load(record));
  }

  /** The row was not the one of the head that was at hand: now nobody writes it. */
  async #valueInTurn(record: RecordId, subkey: number): Promise<VerifiedValue | undefined> {
    const head = await this.#records.load(record);
    if (head?.subkeys[subkey] === undefined) return undefined;
    return this.#records.value(head, subkey);
  }

  async #floorsOf(record: RecordId): Promise<FloorMap> {
    if (!this.#floors.has(record) && !this.#records.isDamaged(record)) return NO_FLOORS;
    return this.#records.floorsOf(record);
  }

  #shown(head: StoredHead | undefined): RecordHead | undefined {
    if (head === undefined) return undefined;
    const entry = this.#index.get(head.descriptor.id);
    return { ...head, touchedAtMs: entry?.touchedAtMs ?? head.touchedAtMs };
  }

  // -- writing ---------------------------------------------------------------------------------

  /** `undefined`: the record was not as memory knew it. */
  async #write(
    descriptor: VerifiedDescriptor,
    values: readonly VerifiedValue[],
    { origin, ifRevision }: RecordWriteOptions,
  ): Promise<RecordWriteReport | undefined> {
    const record = descriptor.id;
    const head = await this.#records.load(record);
    if (ifRevision !== undefined && ifRevision !== (head?.revision ?? 0)) {
      throw preconditionFailed('the record has another revision');
    }
    const floors = values.length === 0 ? NO_FLOORS : await this.#floorsOf(record);
    const decisions = values.map((value) => decideValue(value, head, floors));
    const loses = decisions.some(({ status }) => status !== 'written' && status !== 'same');
    if (ifRevision !== undefined && loses) {
      throw preconditionFailed('a value of the record wins over one of these');
    }
    const outcomes = await this.#outcomes(head, values, decisions);
    if (outcomes === undefined) return undefined;
    const written = values.filter((_, at) => decisions[at]?.status === 'written');
    const before = head ?? this.#nothingOf(descriptor);
    if (written.length === 0 && (head !== undefined || values.length > 0)) {
      if (head !== undefined) this.#touch(record);
      return { status: 'done', head: this.#shown(before) ?? before, outcomes };
    }
    const subkeys = subkeysWith(before.subkeys, written);
    const first = before.storedBytes === 0 && subkeys.storedBytes > 0;
    const after = { ...before, ...subkeys, origin: first ? origin : before.origin };
    const prepared = this.#records.prepare({ ...after, touchedAtMs: this.#nowMs() });
    const done = await this.#put(prepared, written);
    if (done === 'full') return { status: 'full' };
    return done === undefined ? undefined : { status: 'done', head: done, outcomes };
  }

  /** `undefined`: a value that wins cannot be read, and the record is gone with it. */
  async #outcomes(
    head: StoredHead | undefined,
    values: readonly VerifiedValue[],
    decisions: readonly Decision[],
  ): Promise<readonly ValueOutcome[] | undefined> {
    const outcomes: ValueOutcome[] = [];
    for (const [at, decision] of decisions.entries()) {
      if (decision.status !== 'superseded') {
        outcomes.push(decision as ValueOutcome);
        continue;
      }
      const { subkey } = values[at] as VerifiedValue;
      const value = await this.#records.value(head as StoredHead, subkey);
      if (value === undefined) return undefined;
      outcomes.push({ status: 'superseded', value });
    }
    return outcomes;
  }

  async #put(
    prepared: PreparedHead,
    values: readonly VerifiedValue[],
  ): Promise<StoredHead | 'full' | undefined> {
    const { head, bytes } = prepared;
    const { origin } = head;
    const nowMs = head.touchedAtMs;
    const room = this.#room.claim({ record: head.descriptor.id, origin, bytes, nowMs });
    if (room === undefined) return 'full';
    try {
      await room.evicted;
    } catch (error) {
      room.undo();
      throw error;
    }
    if (!(await this.#records.write(prepared, values))) return undefined;
    this.#index.touch(head.descriptor.id, nowMs);
    return head;
  }

  async #evict(record: RecordId): Promise<void> {
    try {
      await this.#again(async () => (await this.#records.remove(record)) || undefined);
    } catch (error) {
      this.#index.change(record, { counted: true });
      throw error;
    }
    this.#evicted++;
    this.#trimFloors();
  }

  async #again<Result>(attempt: () => Promise<Result | undefined>): Promise<Result> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const result = await attempt();
      if (result !== undefined) return result;
    }
    const message = `somebody else writes to the rows of a record tries=${MAX_TRIES}`;
    throw new HoldfastError('INVARIANT_VIOLATED', message);
  }

  /** A few rows at a time, in turns of their records: nobody waits for it. */
  #trimFloors(): void {
    const idle = (record: RecordId): boolean => this.#turns.isIdle(record);
    for (const record of this.#floors.above(this.#maxFloors, idle)) {
      this.#background(record, 'record-floors-not-trimmed', () => this.#records.dropFloors(record));
    }
  }

  #touch(record: RecordId): void {
    const entry = this.#index.get(record);
    if (entry === undefined || this.#closed) return;
    const now = this.#nowMs();
    this.#index.touch(record, now);
    if (Math.abs(now - entry.touchWrittenAtMs) < RECORD_LIMITS.recordTouchMs) return;
    this.#index.change(record, { touchWrittenAtMs: now });
    this.#background(record, 'record-touch-not-written', async () => {
      const head = await this.#records.load(record);
      if (head === undefined) return;
      await this.#records.write(this.#records.prepareAgain({ ...head, touchedAtMs: now }), []);
    });
  }

  #background(record: RecordId, event: string, work: () => Promise<void>): void {
    this.#turns.run(record, work).catch((error: unknown) => {
      this.#logger.warn(event, { error: String(error) });
    });
  }

  #nothingOf(descriptor: VerifiedDescriptor): StoredHead {
    const subkeys = noSubkeys(descriptor);
    const nothing = { storedBytes: 0, origin: undefined, detail: undefined };
    return { descriptor, subkeys, revision: 0, touchedAtMs: this.#nowMs(), ...nothing };
  }

  #assertOpen(): void {
    if (this.#closed) throw new HoldfastError('CLOSED', 'the store of records is closed');
  }
}

function preconditionFailed(why: string): HoldfastError {
  return new HoldfastError('PRECONDITION_FAILED', why);
}

function noRoom(): HoldfastError {
  return new HoldfastError('QUOTA_EXCEEDED', 'the store of records has no room');
}

function checkValues(
  descriptor: VerifiedDescriptor,
  values: readonly VerifiedValue[],
): readonly VerifiedValue[] {
  const subkeys = new Set(values.map(({ subkey }) => subkey));
  if (subkeys.size !== values.length) throw new TypeError('a subkey is written twice');
  if (values.some(({ record }) => record !== descriptor.id)) {
    throw new TypeError('a value is of another record');
  }
  return [...values];
}
