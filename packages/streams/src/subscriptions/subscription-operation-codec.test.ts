import { hasCode, type ShardId } from '@holdfast/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeSubscriptionOperation,
  encodeSubscriptionOperation,
} from './subscription-operation-codec.ts';
import {
  type LinkRow,
  SUBSCRIPTION_RECORDS,
  type SubscriptionOperation,
  type SubscriptionState,
} from './subscription-operations.ts';
import {
  decodeKeyRow,
  decodeLinkRow,
  decodeSubscriptionRow,
  encodeKeyRow,
  encodeLinkRow,
  encodeSubscriptionRow,
  identityOfRow,
  keyRowKey,
  linkRowKey,
  subscriptionRowKey,
} from './subscription-rows.ts';

const shard = 1 as ShardId;
const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
const whole = fc.maxSafeNat();
const position = fc.record({ messages: whole, bytes: whole });

const state: fc.Arbitrary<SubscriptionState> = fc.record(
  {
    generation: whole,
    failedAttempts: whole,
    parked: fc.boolean(),
    nextAttemptAtMs: whole,
    wake: fc.record(
      {
        wakeId: text,
        phase: fc.constantFrom('issued', 'delivered', 'claimed'),
        leaseUntilMs: whole,
        highestStreamId: whole,
        holder: text,
      },
      { requiredKeys: ['wakeId', 'phase', 'leaseUntilMs', 'highestStreamId'] },
    ),
  },
  { requiredKeys: ['generation', 'failedAttempts', 'parked'] },
) as fc.Arbitrary<SubscriptionState>;

const link: fc.Arbitrary<LinkRow> = fc.record({
  path: text,
  explicit: fc.boolean(),
  streamId: whole,
  acked: position,
});

const config = fc
  .tuple(
    fc.record({
      type: fc.constantFrom('webhook' as const, 'pull-wake' as const),
      streams: fc.array(text, { maxLength: 4 }),
      leaseTtlMs: whole,
    }),
    fc.record(
      { pattern: text, webhookUrl: text, wakeStream: text, description: text },
      { requiredKeys: [] },
    ),
  )
  .map(([always, sometimes]) => ({ ...always, ...sometimes }));

const secret = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));
const key = fc.record({ name: text, secret, createdAtMs: whole, signsFromMs: whole });

const { put, update, remove, putKey, removeKey } = SUBSCRIPTION_RECORDS;
const links = fc.array(link, { maxLength: 4 });
const incarnation = text;
const id = text;
const operation = fc.oneof(
  fc.record({
    type: fc.constant(put),
    shard: fc.constant(shard),
    id,
    incarnation,
    createdAtMs: whole,
    firstStreamId: whole,
    config,
    links,
  }),
  fc.record({
    type: fc.constant(update),
    shard: fc.constant(shard),
    id,
    incarnation,
    state,
    links,
    unlinked: fc.array(text, { maxLength: 4 }),
  }),
  fc.record({ type: fc.constant(remove), shard: fc.constant(shard), id, incarnation }),
  fc.record({ type: fc.constant(putKey), shard: fc.constant(shard), key }),
  fc.record({ type: fc.constant(removeKey), shard: fc.constant(shard), name: text }),
) as fc.Arbitrary<SubscriptionOperation>;

test('what is decoded is what was encoded', () => {
  fc.assert(
    fc.property(operation, (given) => {
      const payload = encodeSubscriptionOperation(given);
      expect(decodeSubscriptionOperation(given.type, shard, payload)).toEqual(given);
    }),
  );
});

test('a record cut short or damaged is refused or something else, never a crash of another kind', () => {
  fc.assert(
    fc.property(operation, fc.nat(), fc.nat(255), (given, where, value) => {
      const payload = Buffer.from(encodeSubscriptionOperation(given));
      const at = where % payload.length;
      payload[at] = value;
      for (const damaged of [payload, payload.subarray(0, at)]) {
        try {
          decodeSubscriptionOperation(given.type, shard, damaged);
        } catch (error) {
          const isTyped = hasCode(error, 'FORMAT_INVALID') || hasCode(error, 'FORMAT_UNSUPPORTED');
          expect(isTyped).toBe(true);
        }
      }
    }),
  );
});

test('rows come back as they were, and name the subscription they belong to', () => {
  fc.assert(
    fc.property(
      id,
      incarnation,
      state,
      config,
      link,
      key,
      (name, of, moving, wanted, one, stored) => {
        const row = {
          id: name,
          incarnation: of,
          createdAtMs: 1,
          firstStreamId: 2,
          config: wanted,
          state: moving,
        };
        const rowKey = subscriptionRowKey(name);
        expect(decodeSubscriptionRow(rowKey, encodeSubscriptionRow(row))).toEqual(row);
        const linkKey = linkRowKey(name, one.path);
        expect(decodeLinkRow(linkKey, encodeLinkRow(one))).toEqual({ id: name, link: one });
        expect(identityOfRow(linkKey)).toBe(identityOfRow(rowKey));
        expect(decodeKeyRow(keyRowKey(stored.name), encodeKeyRow(stored))).toEqual(stored);
        expect(identityOfRow(keyRowKey(stored.name))).toBe('subscription-keys');
      },
    ),
  );
});
