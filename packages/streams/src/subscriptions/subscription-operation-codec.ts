/** Payloads of subscription records (FORMAT.md, "Subscription records"). */
import { ByteReader, ByteWriter, HoldfastError, type ShardId } from '@holdfast/core';
import { readPosition, writePosition } from '../stream-operation-codec.ts';
import {
  type LinkRow,
  type StoredKey,
  SUBSCRIPTION_RECORDS,
  type SubscriptionOperation,
  type SubscriptionState,
  type WakePhase,
  type WakeState,
} from './subscription-operations.ts';
import type { SubscriptionConfig, SubscriptionType } from './subscription-store.ts';

const VERSION = 1;

const CONFIG = { pattern: 1, webhookUrl: 2, wakeStream: 4, description: 8 } as const;
const STATE = { wake: 1, holder: 2, nextAttempt: 4, parked: 8 } as const;

/** Numbers on disk. */
const TYPES: readonly SubscriptionType[] = ['webhook', 'pull-wake'];
const PHASES: readonly WakePhase[] = ['issued', 'delivered', 'claimed'];

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export function encodeSubscriptionOperation(operation: SubscriptionOperation): Buffer {
  const writer = new ByteWriter(256).u8(VERSION);
  switch (operation.type) {
    case SUBSCRIPTION_RECORDS.put:
      writer.string(operation.id).string(operation.incarnation);
      writer.varint(operation.createdAtMs).varint(operation.firstStreamId);
      writeConfig(writer, operation.config);
      writeLinks(writer, operation.links);
      break;
    case SUBSCRIPTION_RECORDS.update:
      writer.string(operation.id).string(operation.incarnation);
      writeState(writer, operation.state);
      writeLinks(writer, operation.links);
      writer.varint(operation.unlinked.length);
      for (const path of operation.unlinked) writer.string(path);
      break;
    case SUBSCRIPTION_RECORDS.remove:
      writer.string(operation.id).string(operation.incarnation);
      break;
    case SUBSCRIPTION_RECORDS.putKey:
      writer.string(operation.key.name);
      writeKey(writer, operation.key);
      break;
    case SUBSCRIPTION_RECORDS.removeKey:
      writer.string(operation.name);
      break;
  }
  return writer.finish();
}

export function decodeSubscriptionOperation(
  type: number,
  shard: ShardId,
  payload: Buffer,
): SubscriptionOperation {
  const reader = versioned(payload);
  const decoded = decodeBody(type, shard, reader);
  reader.end();
  return decoded;
}

function decodeBody(type: number, shard: ShardId, reader: ByteReader): SubscriptionOperation {
  switch (type) {
    case SUBSCRIPTION_RECORDS.put:
      return {
        type,
        shard,
        id: reader.string(),
        incarnation: reader.string(),
        createdAtMs: reader.varint(),
        firstStreamId: reader.varint(),
        config: readConfig(reader),
        links: readLinks(reader),
      };
    case SUBSCRIPTION_RECORDS.update:
      return {
        type,
        shard,
        id: reader.string(),
        incarnation: reader.string(),
        state: readState(reader),
        links: readLinks(reader),
        unlinked: readTexts(reader),
      };
    case SUBSCRIPTION_RECORDS.remove:
      return { type, shard, id: reader.string(), incarnation: reader.string() };
    case SUBSCRIPTION_RECORDS.putKey:
      return { type, shard, key: readKey(reader.string(), reader) };
    case SUBSCRIPTION_RECORDS.removeKey:
      return { type, shard, name: reader.string() };
    default:
      throw new HoldfastError('UNKNOWN_RECORD_TYPE', `not a subscription record type=${type}`);
  }
}

export function versioned(bytes: Buffer): ByteReader {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  if (version === VERSION) return reader;
  throw new HoldfastError(
    'FORMAT_UNSUPPORTED',
    `subscription was written by another format version, upgrade holdfast version=${version}`,
  );
}

export function versionedWriter(): ByteWriter {
  return new ByteWriter(256).u8(VERSION);
}

export function writeConfig(writer: ByteWriter, config: SubscriptionConfig): void {
  const { pattern, webhookUrl, wakeStream, description } = config;
  writer.u8(TYPES.indexOf(config.type));
  writer.u8(
    (pattern === undefined ? 0 : CONFIG.pattern) |
      (webhookUrl === undefined ? 0 : CONFIG.webhookUrl) |
      (wakeStream === undefined ? 0 : CONFIG.wakeStream) |
      (description === undefined ? 0 : CONFIG.description),
  );
  writer.varint(config.leaseTtlMs);
  for (const text of [pattern, webhookUrl, wakeStream, description]) {
    if (text !== undefined) writer.string(text);
  }
  writer.varint(config.streams.length);
  for (const path of config.streams) writer.string(path);
}

export function readConfig(reader: ByteReader): SubscriptionConfig {
  const type = oneOf(TYPES, reader.u8());
  const flags = reader.u8();
  const config: Mutable<SubscriptionConfig> = { type, leaseTtlMs: reader.varint(), streams: [] };
  if ((flags & CONFIG.pattern) !== 0) config.pattern = reader.string();
  if ((flags & CONFIG.webhookUrl) !== 0) config.webhookUrl = reader.string();
  if ((flags & CONFIG.wakeStream) !== 0) config.wakeStream = reader.string();
  if ((flags & CONFIG.description) !== 0) config.description = reader.string();
  config.streams = readTexts(reader);
  return config;
}

export function writeState(writer: ByteWriter, state: SubscriptionState): void {
  const { wake, nextAttemptAtMs } = state;
  writer.u8(
    (wake === undefined ? 0 : STATE.wake) |
      (wake?.holder === undefined ? 0 : STATE.holder) |
      (nextAttemptAtMs === undefined ? 0 : STATE.nextAttempt) |
      (state.parked ? STATE.parked : 0),
  );
  writer.varint(state.generation).varint(state.failedAttempts);
  if (nextAttemptAtMs !== undefined) writer.varint(nextAttemptAtMs);
  if (wake === undefined) return;
  writer.string(wake.wakeId).u8(PHASES.indexOf(wake.phase));
  writer.varint(wake.leaseUntilMs).varint(wake.highestStreamId);
  if (wake.holder !== undefined) writer.string(wake.holder);
}

export function readState(reader: ByteReader): SubscriptionState {
  const flags = reader.u8();
  const state: Mutable<SubscriptionState> = {
    generation: reader.varint(),
    failedAttempts: reader.varint(),
    parked: (flags & STATE.parked) !== 0,
  };
  if ((flags & STATE.nextAttempt) !== 0) state.nextAttemptAtMs = reader.varint();
  if ((flags & STATE.wake) === 0) return state;
  const wake: Mutable<WakeState> = {
    wakeId: reader.string(),
    phase: oneOf(PHASES, reader.u8()),
    leaseUntilMs: reader.varint(),
    highestStreamId: reader.varint(),
  };
  if ((flags & STATE.holder) !== 0) wake.holder = reader.string();
  state.wake = wake;
  return state;
}

export function writeLink(writer: ByteWriter, link: LinkRow): void {
  writer.u8(link.explicit ? 1 : 0).varint(link.streamId);
  writePosition(writer, link.acked);
}

export function readLink(path: string, reader: ByteReader): LinkRow {
  const explicit = reader.u8() === 1;
  return { path, explicit, streamId: reader.varint(), acked: readPosition(reader) };
}

export function writeKey(writer: ByteWriter, key: StoredKey): void {
  writer.bytes(key.secret).varint(key.createdAtMs).varint(key.signsFromMs);
}

export function readKey(name: string, reader: ByteReader): StoredKey {
  const secret = reader.bytes();
  return { name, secret, createdAtMs: reader.varint(), signsFromMs: reader.varint() };
}

function writeLinks(writer: ByteWriter, links: readonly LinkRow[]): void {
  writer.varint(links.length);
  for (const link of links) {
    writer.string(link.path);
    writeLink(writer, link);
  }
}

function readLinks(reader: ByteReader): LinkRow[] {
  const count = countOf(reader);
  const links: LinkRow[] = [];
  for (let i = 0; i < count; i++) links.push(readLink(reader.string(), reader));
  return links;
}

function readTexts(reader: ByteReader): string[] {
  const count = countOf(reader);
  const texts: string[] = [];
  for (let i = 0; i < count; i++) texts.push(reader.string());
  return texts;
}

/** Each one takes at least a byte. */
function countOf(reader: ByteReader): number {
  const count = reader.varint();
  if (count > reader.remaining) throw damaged(`count ${count}`);
  return count;
}

function oneOf<T>(values: readonly T[], index: number): T {
  const value = values[index];
  if (value === undefined) throw damaged(`number ${index}`);
  return value;
}

function damaged(what: string): HoldfastError {
  return new HoldfastError('FORMAT_INVALID', `subscription cannot be decoded: ${what}`);
}
