/**
 * The token of one wake: `generation.wakeId.mac`. The mac covers the subscription, its
 * incarnation, the generation and the wake, so a token opens nothing else, and nothing of a later
 * subscription of the same name.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { HoldfastError } from '@holdfast/core';
import type { Subscription } from './subscription.ts';

const TOKEN = /^(\d{1,16})\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{43})$/;

export interface TokenContent {
  readonly generation: number;
  readonly wakeId: string;
}

export function wakeToken(secret: Buffer, subscription: Subscription, wake: TokenContent): string {
  const { generation, wakeId } = wake;
  return `${generation}.${wakeId}.${macOf(secret, subscription, wake).toString('base64url')}`;
}

/** Throws `TOKEN_INVALID`. What it says may still be about an older wake. */
export function openWakeToken(
  secret: Buffer | undefined,
  subscription: Subscription,
  token: string,
): TokenContent {
  const parts = TOKEN.exec(token);
  if (parts === null || secret === undefined) throw invalid();
  const content = { generation: Number(parts[1]), wakeId: parts[2] as string };
  // The text, not what it decodes to: base64url has four spellings of these bytes.
  const given = Buffer.from(token);
  const right = Buffer.from(wakeToken(secret, subscription, content));
  if (given.length !== right.length || !timingSafeEqual(given, right)) throw invalid();
  return content;
}

function macOf(secret: Buffer, { id, incarnation }: Subscription, wake: TokenContent): Buffer {
  const covered = JSON.stringify([id, incarnation, wake.generation, wake.wakeId]);
  return createHmac('sha256', secret).update(covered).digest();
}

function invalid(): HoldfastError {
  return new HoldfastError('TOKEN_INVALID', 'the token is not one of this subscription');
}
