/** The parsers of subscriptions: what is kept of them, and what their control routes are sent. */
import { isDeepStrictEqual } from 'node:util';
import { LIMITS, type ShardId } from '@holdfast/core';
import type { FuzzTarget } from '@holdfast/testkit';
import { requireBearer } from '../src/protocol/subscriptions/bearer-token.ts';
import {
  type ControlRoute,
  isControlTarget,
  parseControlRoute,
} from '../src/protocol/subscriptions/control-path.ts';
import { parseListQuery } from '../src/protocol/subscriptions/list-query.ts';
import {
  parseAck,
  parseClaim,
  parseConfig,
  parseLinks,
  parseRelease,
} from '../src/protocol/subscriptions/subscription-requests.ts';
import { queryStart } from '../src/protocol/stream-path.ts';
import { isReservedPath, PathPattern } from '../src/subscriptions/path-pattern.ts';
import {
  decodeSubscriptionOperation,
  encodeSubscriptionOperation,
} from '../src/subscriptions/subscription-operation-codec.ts';
import {
  SUBSCRIPTION_RECORDS,
  type SubscriptionOperation,
} from '../src/subscriptions/subscription-operations.ts';
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
} from '../src/subscriptions/subscription-rows.ts';

const SHARD = 1 as ShardId;
const BASE = '/v1/stream/';
const LINK = { path: 'a/ä', explicit: true, streamId: 7, acked: { messages: 3, bytes: 42 } };
const KEY = { name: 'k1', secret: Buffer.alloc(32, 7), createdAtMs: 5, signsFromMs: 9 };

const OPERATIONS: readonly SubscriptionOperation[] = [
  {
    type: SUBSCRIPTION_RECORDS.put,
    shard: SHARD,
    id: 's',
    incarnation: 'i',
    createdAtMs: 300,
    firstStreamId: 9,
    config: {
      type: 'webhook',
      pattern: 'a/**',
      streams: ['a/b'],
      webhookUrl: 'https://example.com/x',
      leaseTtlMs: 30_000,
    },
    links: [LINK],
  },
  {
    type: SUBSCRIPTION_RECORDS.update,
    shard: SHARD,
    id: 's',
    incarnation: 'i',
    state: {
      generation: 2 ** 40,
      failedAttempts: 2,
      parked: true,
      nextAttemptAtMs: 77,
      wake: {
        wakeId: 'w',
        phase: 'claimed',
        leaseUntilMs: 99,
        highestStreamId: 7,
        holder: 'worker',
      },
    },
    links: [LINK, LINK],
    unlinked: ['x', 'y/z'],
  },
  { type: SUBSCRIPTION_RECORDS.remove, shard: SHARD, id: 's', incarnation: 'i' },
  { type: SUBSCRIPTION_RECORDS.removeKey, shard: SHARD, name: 'k1' },
];

/** Two bytes are the type of the record. */
const operationTarget: FuzzTarget<SubscriptionOperation> = {
  name: 'subscription-operation',
  corpus: OPERATIONS.map((operation) => {
    const type = Buffer.alloc(2);
    type.writeUInt16LE(operation.type);
    return Buffer.concat([type, encodeSubscriptionOperation(operation)]);
  }),
  codes: ['FORMAT_INVALID', 'FORMAT_UNSUPPORTED', 'UNKNOWN_RECORD_TYPE'],
  parse(input) {
    const type = input.length < 2 ? 0 : input.readUInt16LE();
    return decodeSubscriptionOperation(type, SHARD, input.subarray(2));
  },
  check(operation) {
    const again = encodeSubscriptionOperation(operation);
    const decoded = decodeSubscriptionOperation(operation.type, SHARD, again);
    if (!isDeepStrictEqual(decoded, operation)) throw new Error('not the same again');
  },
};

const [put, update] = OPERATIONS;
if (put?.type !== SUBSCRIPTION_RECORDS.put || update?.type !== SUBSCRIPTION_RECORDS.update) {
  throw new Error('the first two are a put and an update');
}
const SUBSCRIPTION = { ...put, state: update.state };
const ROWS: readonly (readonly [Buffer, Buffer])[] = [
  [subscriptionRowKey('s'), encodeSubscriptionRow(SUBSCRIPTION)],
  [linkRowKey('s', LINK.path), encodeLinkRow(LINK)],
  [keyRowKey('k1'), encodeKeyRow(KEY)],
];

/** A byte of length, the key, the value. */
const rowTarget: FuzzTarget = {
  name: 'subscription-rows',
  corpus: ROWS.map(([key, value]) => Buffer.concat([Buffer.of(key.length), key, value])),
  codes: ['FORMAT_INVALID', 'FORMAT_UNSUPPORTED'],
  parse(input) {
    const length = input[0] ?? 0;
    const key = input.subarray(1, 1 + length);
    const value = input.subarray(1 + length);
    identityOfRow(key);
    if (key[0] === ROWS[0]?.[0][0]) return decodeSubscriptionRow(key, value);
    return key[0] === ROWS[1]?.[0][0] ? decodeLinkRow(key, value) : decodeKeyRow(key, value);
  },
};

const BODIES = [parseConfig, parseLinks, parseClaim, parseRelease, parseAck];

/** The first byte says which body it is. */
const bodyTarget: FuzzTarget = {
  name: 'control-body',
  corpus: [
    `0{"type":"webhook","pattern":"a/**","webhook":{"url":"https://x.example"},"lease_ttl_ms":5000}`,
    `0{"type":"pull-wake","streams":["a","b/\\u00e4"],"wake_stream":"w","description":null}`,
    `1{"streams":["a","b"]}`,
    `2{"worker":"w"}`,
    `3{"wake_id":"w","generation":1}`,
    `4{"wake_id":"w","generation":1,"acks":[{"stream":"a","offset":"0000000000000003_0000000000000042"}],"done":true}`,
  ].map((text) => Buffer.from(text)),
  tokens: [
    '"__proto__":',
    '"constructor":',
    '{',
    '}',
    '[',
    ',',
    ':',
    'null',
    '1e999',
    '-0',
    '9007199254740993',
    '"\\ud800"',
    '\\"',
    '"streams":[',
  ],
  codes: ['INVALID_OFFSET', 'INVALID_PATH', 'INVALID_SUBSCRIPTION'],
  rareCodes: ['URL_TOO_LONG', 'ROUTE_NOT_FOUND'],
  parse: (input) => BODIES[((input[0] ?? 0) % 48) % BODIES.length]?.(input.subarray(1)),
  check(value, input) {
    // What is taken is JSON without a name that is there twice, and of it nothing is lost.
    const body = JSON.parse(input.toString('utf8', 1)) as unknown;
    if (typeof body !== 'object' || body === null) throw new Error('not an object');
    if (Object.hasOwn(Object.prototype, 'type')) throw new Error('the prototype was written to');
    void value;
  },
};

const routeTarget: FuzzTarget<ControlRoute | undefined> = {
  name: 'control-path',
  corpus: [
    '__ds/subscriptions/s/streams/a/b',
    '__ds/subscriptions/s%2F',
    '__ds/subscriptions/s/claim?x=1',
    '__ds/jwks.json',
    '__ds/subscriptions?after=a&limit=10',
  ].map((text) => Buffer.from(text)),
  tokens: ['%2f', '%2e%2e', '/', '//', '..', '%00', '%', '__ds', '?', '&limit=0', '&after='],
  codes: ['INVALID_PATH', 'INVALID_QUERY', 'INVALID_SUBSCRIPTION', 'ROUTE_NOT_FOUND'],
  rareCodes: ['URL_TOO_LONG'],
  parse(input) {
    const target = BASE + input.toString('latin1');
    const end = queryStart(target);
    if (!isControlTarget(target, end, BASE)) return undefined;
    const route = parseControlRoute(target, end, BASE);
    if (route.kind === 'list') parseListQuery(target, end);
    return route;
  },
  check(route) {
    if (route === undefined || !('id' in route)) return;
    if (/\//.test(route.id) || Buffer.byteLength(route.id) > LIMITS.maxSubscriptionIdBytes) {
      throw new Error('not an id');
    }
    if ('path' in route && isReservedPath(route.path)) throw new Error('a reserved path');
  },
};

/** A pattern and a path, on two lines. */
const patternTarget: FuzzTarget<{ pattern: PathPattern; path: string }> = {
  name: 'path-pattern',
  corpus: ['a/*/c\na/b/c', '**\na', 'a/**/**/z\na/z', '*/**\nx/y', '__ds\n__ds'].map((text) =>
    Buffer.from(text),
  ),
  tokens: ['/', '*', '**', '/**/', '\n', '__ds/', 'a/'],
  codes: ['INVALID_SUBSCRIPTION'],
  maxBytes: 400,
  parse(input) {
    const [pattern = '', path = ''] = input.toString('utf8').split('\n');
    return { pattern: PathPattern.parse(pattern), path };
  },
  check({ pattern, path }) {
    const segments = path.split('/');
    if (segments.length > 8 || pattern.segments.length > 8) return;
    const wanted = !isReservedPath(path) && matchesSlowly(pattern.text.split('/'), segments);
    if (pattern.matches(path) !== wanted) throw new Error(`${pattern.text} ${path} ${wanted}`);
    if (wanted && !path.startsWith(pattern.literalPrefix)) throw new Error('not its prefix');
  },
};

function matchesSlowly(pattern: readonly string[], path: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return path.length === 0;
  if (first === '**') {
    for (let taken = 0; taken <= path.length; taken++) {
      if (matchesSlowly(rest, path.slice(taken))) return true;
    }
    return false;
  }
  if (path.length === 0 || (first !== '*' && first !== path[0])) return false;
  return matchesSlowly(rest, path.slice(1));
}

const bearerTarget: FuzzTarget<string> = {
  name: 'bearer-token',
  corpus: ['Authorization\nBearer abc.DEF-_~+/==', 'authorization\nbearer   x  '].map((text) =>
    Buffer.from(text),
  ),
  tokens: ['\n', 'Bearer ', ' ', '=', '\nAuthorization\n', ','],
  codes: ['INVALID_HEADER', 'TOKEN_REQUIRED'],
  parse: (input) => requireBearer(input.toString('latin1').split('\n'), 'a token'),
  check(token) {
    if (!/^[A-Za-z0-9\-._~+/]+=*$/.test(token)) throw new Error(`not a token: ${token}`);
  },
};

export const SUBSCRIPTION_TARGETS: readonly FuzzTarget[] = [
  operationTarget,
  rowTarget,
  bodyTarget,
  routeTarget,
  patternTarget,
  bearerTarget,
];
