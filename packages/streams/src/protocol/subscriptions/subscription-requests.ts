/** Bodies of the control routes (PROTOCOL 6.2, 6.4, 7.1, 7.2) into domain values. */
import { LIMITS } from '@holdfast/core';
import { comparePositions, parsePosition, type Position } from '../../position.ts';
import type { SubscriptionConfig } from '../../subscriptions/subscription-store.ts';
import { assertStreamPath } from '../stream-path.ts';
import { ControlObject, invalid, missing, parseControlBody } from './control-body.ts';

const CONFIG_MEMBERS = [
  'type',
  'pattern',
  'streams',
  'webhook',
  'wake_stream',
  'lease_ttl_ms',
  'description',
];

/** A member of the other type is checked and left out: the protocol's own example has one. */
export function parseConfig(bytes: Buffer): SubscriptionConfig {
  const body = parseControlBody(bytes, CONFIG_MEMBERS);
  const type = body.text('type', LIMITS.maxWorkerBytes) ?? 'absent';
  if (type !== 'webhook' && type !== 'pull-wake') throw invalid('type is webhook or pull-wake');
  const pattern = body.text('pattern', LIMITS.maxPatternBytes);
  const streams = parsePaths(body);
  if (pattern === undefined && streams === undefined) throw missing('pattern or streams');
  const description = body.text('description', LIMITS.maxDescriptionBytes);
  const { minLeaseTtlMs, maxLeaseTtlMs } = LIMITS;
  const webhookUrl = parseWebhookUrl(body);
  const wakeStream = parsePath(body, 'wake_stream');
  return {
    type,
    ...(pattern === undefined ? {} : { pattern }),
    streams: streams ?? [],
    ...(type === 'webhook'
      ? { webhookUrl: webhookUrl ?? required('webhook.url') }
      : { wakeStream: wakeStream ?? required('wake_stream') }),
    leaseTtlMs: body.integer('lease_ttl_ms', minLeaseTtlMs, maxLeaseTtlMs) ?? LIMITS.leaseTtlMs,
    ...(description === undefined ? {} : { description }),
  };
}

/** Streams to link. */
export function parseLinks(bytes: Buffer): readonly string[] {
  return parsePaths(parseControlBody(bytes, ['streams'])) ?? required('streams');
}

/** The name of the worker that claims. */
export function parseClaim(bytes: Buffer): string {
  const body = parseControlBody(bytes, ['worker']);
  return body.text('worker', LIMITS.maxWorkerBytes) ?? required('worker');
}

export interface WakeBody {
  readonly wakeId: string;
  readonly generation: number;
}

export interface AckBody extends WakeBody {
  readonly acks: readonly { readonly path: string; readonly offset: Position }[];
  readonly done: boolean;
}

export function parseRelease(bytes: Buffer): WakeBody {
  return parseWake(parseControlBody(bytes, ['wake_id', 'generation']));
}

/** Of a callback or an ack. A stream that is named twice is acked up to the later offset. */
export function parseAck(bytes: Buffer): AckBody {
  const body = parseControlBody(bytes, ['wake_id', 'generation', 'acks', 'done']);
  const offsets = new Map<string, Position>();
  for (const item of body.list('acks', LIMITS.maxWakeStreams) ?? []) {
    const ack = new ControlObject(item, ['stream', 'offset'], 'an ack');
    const path = parsePath(ack, 'stream') ?? required('stream of an ack');
    const text = ack.text('offset', LIMITS.maxPathBytes) ?? required('offset of an ack');
    const offset = parsePosition(text);
    const before = offsets.get(path);
    if (before === undefined || comparePositions(offset, before) > 0) offsets.set(path, offset);
  }
  return {
    ...parseWake(body),
    acks: [...offsets].map(([path, offset]) => ({ path, offset })),
    done: body.flag('done') ?? false,
  };
}

function parseWake(body: ControlObject): WakeBody {
  return {
    wakeId: body.text('wake_id', LIMITS.maxSubscriptionIdBytes) ?? required('wake_id'),
    generation: body.integer('generation', 0, Number.MAX_SAFE_INTEGER) ?? required('generation'),
  };
}

function parseWebhookUrl(body: ControlObject): string | undefined {
  const value = body.value('webhook');
  if (value === undefined) return undefined;
  return new ControlObject(value, ['url'], 'webhook').text('url', LIMITS.maxWebhookUrlBytes);
}

/** Sorted, each once. */
function parsePaths(body: ControlObject): readonly string[] | undefined {
  const items = body.list('streams', LIMITS.maxLinksPerSubscription);
  if (items === undefined) return undefined;
  const paths = new Set<string>();
  for (const item of items) {
    if (typeof item !== 'string') throw invalid('streams is not a list of texts');
    assertStreamPath(item);
    paths.add(item);
  }
  return [...paths].sort((a, b) => (a < b ? -1 : 1));
}

/** In JSON a path is written as it is, without percent-encoding. */
function parsePath(body: ControlObject, name: string): string | undefined {
  const path = body.text(name, LIMITS.maxPathBytes);
  if (path !== undefined) assertStreamPath(path);
  return path;
}

function required(name: string): never {
  throw missing(name);
}
