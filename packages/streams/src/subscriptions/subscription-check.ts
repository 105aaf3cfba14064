/** What a subscription may ask for. Throws `INVALID_SUBSCRIPTION` and what the parts throw. */
import { HoldfastError, LIMITS } from '@holdfast/core';
import { isReservedPath, PathPattern } from './path-pattern.ts';
import type { SubscriptionConfig } from './subscription-store.ts';
import type { WakeContext } from './wake-context.ts';

/** Would not come back from the log as it went in. */
const LONE_SURROGATE = /\p{Surrogate}/u;
// eslint-disable-next-line no-control-regex
const NO_SEGMENT = /[/\\\u0000-\u001f\u007f-\u009f]/;
/** Of all of `streams`: they are one part of one row. */
const MAX_STREAMS_BYTES = 512 * 1024;

/** Sorted, each stream once: two that mean the same are the same. */
export function normalizeConfig(config: SubscriptionConfig): SubscriptionConfig {
  return { ...config, streams: [...new Set(config.streams)].sort() };
}

/** Compared whole, which is stricter than the hash the protocol asks for. */
export function isSameConfig(a: SubscriptionConfig, b: SubscriptionConfig): boolean {
  return fingerprint(a) === fingerprint(b);
}

function fingerprint(config: SubscriptionConfig): string {
  const { type, pattern, streams, webhookUrl, wakeStream, leaseTtlMs, description } = config;
  const members = { type, pattern, streams, webhookUrl, wakeStream, leaseTtlMs, description };
  return JSON.stringify(members);
}

/** One segment of a path: it is in the URL that receivers call back. */
function checkId(id: string): void {
  checkText('id', id, LIMITS.maxSubscriptionIdBytes);
  if (id === '.' || id === '..' || NO_SEGMENT.test(id)) {
    throw invalid('the id is not one segment of a path');
  }
}

export function checkWorker(worker: string): void {
  checkText('worker', worker, LIMITS.maxWorkerBytes);
}

/** @param wakeStream of the subscription: linked to itself, each wake would cause the next. */
export function checkLinkedPath(path: string, wakeStream: string | undefined): void {
  checkText('a stream', path, LIMITS.maxPathBytes);
  if (isReservedPath(path)) throw invalid('streams below __ds are reserved and cannot be linked');
  if (path === wakeStream) throw invalid('a subscription cannot be linked to its wake stream');
}

/** Everything but the wake stream, which may come and go. */
export function checkConfig(
  { sender, endpoints }: Pick<WakeContext, 'sender' | 'endpoints'>,
  id: string,
  config: SubscriptionConfig,
): void {
  const { type, pattern, streams, webhookUrl, wakeStream, leaseTtlMs, description } = config;
  checkId(id);
  if (pattern === undefined && streams.length === 0) throw invalid('pattern or streams is needed');
  if (pattern !== undefined) PathPattern.parse(pattern);
  for (const path of streams) checkLinkedPath(path, wakeStream);
  if (streams.reduce((sum, path) => sum + Buffer.byteLength(path), 0) > MAX_STREAMS_BYTES) {
    throw invalid(`streams are above ${MAX_STREAMS_BYTES} bytes, link the others later`);
  }
  const { minLeaseTtlMs: min, maxLeaseTtlMs: max } = LIMITS;
  if (!Number.isSafeInteger(leaseTtlMs) || leaseTtlMs < min || leaseTtlMs > max) {
    throw invalid(`lease_ttl_ms is a whole number from ${min} to ${max}`);
  }
  if (description !== undefined)
    checkLength('description', description, LIMITS.maxDescriptionBytes);
  if (type === 'webhook') {
    if (webhookUrl === undefined || wakeStream !== undefined) {
      throw invalid('a webhook subscription has webhook.url and no wake_stream');
    }
    checkText('webhook.url', webhookUrl, LIMITS.maxWebhookUrlBytes);
    sender.assertUrl(webhookUrl);
    if (endpoints.callbackUrl(id) === undefined) {
      throw invalid('webhooks need the public url of this node, which its settings do not name');
    }
  } else {
    if (wakeStream === undefined || webhookUrl !== undefined) {
      throw invalid('a pull-wake subscription has wake_stream and no webhook');
    }
    checkText('wake_stream', wakeStream, LIMITS.maxPathBytes);
    if (isReservedPath(wakeStream)) throw invalid('wake_stream cannot be below __ds');
  }
}

/** Throws `WAKE_STREAM_NOT_FOUND`. */
export function checkWakeStream({ observed }: WakeContext, path: string): void {
  const info = observed().get(path);
  if (info === undefined) {
    throw new HoldfastError('WAKE_STREAM_NOT_FOUND', 'there is no stream at wake_stream');
  }
  if (!info.json || info.closed) throw invalid('wake_stream has to be an open stream of json');
}

function checkText(name: string, text: string, maxBytes: number): void {
  if (text === '') throw invalid(`${name} is empty`);
  checkLength(name, text, maxBytes);
}

function checkLength(name: string, text: string, maxBytes: number): void {
  if (Buffer.byteLength(text) > maxBytes) throw invalid(`${name} is above ${maxBytes} bytes`);
  if (LONE_SURROGATE.test(text)) throw invalid(`${name} is not valid utf-8`);
}

export function invalid(message: string): HoldfastError {
  return new HoldfastError('INVALID_SUBSCRIPTION', message);
}
