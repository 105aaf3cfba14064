/**
 * Rows of the subscription engine (FORMAT.md, "Subscription rows"). The kinds are in capitals:
 * those of the stream engine, which shares the shards, are not.
 *
 * | key | value |
 * | --- | --- |
 * | `S` id | incarnation, created at, first stream id, config, state |
 * | `L` length of id, id, path | one link |
 * | `K` name | one key |
 */
import { HoldfastError } from '@holdfast/core';
import {
  readConfig,
  readKey,
  readLink,
  readState,
  versioned,
  versionedWriter,
  writeConfig,
  writeKey,
  writeLink,
  writeState,
} from './subscription-operation-codec.ts';
import type { LinkRow, StoredKey, SubscriptionState } from './subscription-operations.ts';
import type { SubscriptionConfig } from './subscription-store.ts';

const KIND = { subscription: 0x53, link: 0x4c, key: 0x4b } as const;
const ID_LENGTH_BYTES = 2;

export const SUBSCRIPTION_ROWS: Buffer = Buffer.of(KIND.subscription);
export const LINK_ROWS: Buffer = Buffer.of(KIND.link);
export const KEY_ROWS: Buffer = Buffer.of(KIND.key);

/** All keys rest in one shard. */
export const KEYS_IDENTITY = 'subscription-keys';

export interface SubscriptionRow {
  readonly id: string;
  readonly incarnation: string;
  readonly createdAtMs: number;
  readonly firstStreamId: number;
  readonly config: SubscriptionConfig;
  readonly state: SubscriptionState;
}

/** What the host places a subscription by. */
export function identityOfSubscription(id: string): string {
  return `subscription:${id}`;
}

export function identityOfRow(key: Buffer): string | undefined {
  switch (key[0]) {
    case KIND.subscription:
      return identityOfSubscription(key.toString('utf8', 1));
    case KIND.link:
      return identityOfSubscription(splitLinkKey(key).id);
    case KIND.key:
      return KEYS_IDENTITY;
    default:
      return undefined;
  }
}

export function subscriptionRowKey(id: string): Buffer {
  return Buffer.concat([SUBSCRIPTION_ROWS, Buffer.from(id)]);
}

export function linkRowKey(id: string, path: string): Buffer {
  const idBytes = Buffer.from(id);
  const head = Buffer.alloc(1 + ID_LENGTH_BYTES);
  head[0] = KIND.link;
  head.writeUInt16BE(idBytes.length, 1);
  return Buffer.concat([head, idBytes, Buffer.from(path)]);
}

export function keyRowKey(name: string): Buffer {
  return Buffer.concat([KEY_ROWS, Buffer.from(name)]);
}

export function encodeSubscriptionRow(row: SubscriptionRow): Buffer {
  const writer = versionedWriter().string(row.incarnation);
  writer.varint(row.createdAtMs).varint(row.firstStreamId);
  writeConfig(writer, row.config);
  writeState(writer, row.state);
  return writer.finish();
}

export function decodeSubscriptionRow(key: Buffer, value: Buffer): SubscriptionRow {
  const reader = versioned(value);
  const row = {
    id: key.toString('utf8', 1),
    incarnation: reader.string(),
    createdAtMs: reader.varint(),
    firstStreamId: reader.varint(),
    config: readConfig(reader),
    state: readState(reader),
  };
  reader.end();
  return row;
}

export function encodeLinkRow(link: LinkRow): Buffer {
  const writer = versionedWriter();
  writeLink(writer, link);
  return writer.finish();
}

export function decodeLinkRow(
  key: Buffer,
  value: Buffer,
): { readonly id: string; readonly link: LinkRow } {
  const { id, path } = splitLinkKey(key);
  const reader = versioned(value);
  const link = readLink(path, reader);
  reader.end();
  return { id, link };
}

export function encodeKeyRow(key: StoredKey): Buffer {
  const writer = versionedWriter();
  writeKey(writer, key);
  return writer.finish();
}

export function decodeKeyRow(key: Buffer, value: Buffer): StoredKey {
  const reader = versioned(value);
  const stored = readKey(key.toString('utf8', 1), reader);
  reader.end();
  return stored;
}

function splitLinkKey(key: Buffer): { id: string; path: string } {
  const idAt = 1 + ID_LENGTH_BYTES;
  const idEnd = key.length < idAt ? Infinity : idAt + key.readUInt16BE(1);
  if (idEnd > key.length) {
    throw new HoldfastError('FORMAT_INVALID', 'key of a subscription link is too short');
  }
  return { id: key.toString('utf8', idAt, idEnd), path: key.toString('utf8', idEnd) };
}
