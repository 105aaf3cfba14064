/** A restored copy, opened as a node would open it: with engines of its own, and nobody woken. */
import { type KeyRing, LIMITS } from '@holdfast/core';
import { openDatabase } from '@holdfast/database';
import { controlEndpoints, createStreamEngine, createSubscriptionEngine } from '@holdfast/streams';
import type { NodeComponents } from './node-components.ts';
import { NodeWebhookSender } from './node-webhook-sender.ts';

/** Opens `dir` without its backup, counts its streams, and closes it. */
export async function openCopy(
  dir: string,
  { fileSystem, clock, random, logger }: NodeComponents,
  keys: KeyRing | undefined,
): Promise<number> {
  const streams = createStreamEngine({ clock, random, logger });
  const subscriptions = createSubscriptionEngine({
    ...{ clock, random, logger, streams },
    sender: new NodeWebhookSender({ clock }, { allowLoopback: false }),
    endpoints: controlEndpoints('/', () => undefined),
  });
  subscriptions.drain(); // nothing of a copy is delivered
  const database = await openDatabase(
    { fileSystem, clock, random, logger, ...(keys === undefined ? {} : { keys }) },
    { dir, scrubIntervalMs: 0 },
    [streams, subscriptions],
  );
  try {
    return streams.list({ limit: LIMITS.maxStreams }).length;
  } finally {
    streams.close();
    await database.close();
  }
}
