import { expect, test } from 'vitest';
import { DeliverySlots } from './delivery-slots.ts';

const never = new AbortController().signal;

async function turn(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve();
}

/** Names of those who got a slot, in order. */
function queue(slots: DeliverySlots, got: string[], signal = never) {
  const releases = new Map<string, () => void>();
  return {
    releases,
    ask(host: string, name: string): Promise<void> {
      return slots.acquire(host, signal).then((release) => {
        got.push(name);
        releases.set(name, release);
      });
    },
  };
}

test('a host gets no more slots than it may, and others get theirs', async () => {
  const slots = new DeliverySlots({ maxWebhookDeliveries: 4, maxWebhookDeliveriesPerHost: 2 });
  const got: string[] = [];
  const { ask, releases } = queue(slots, got);
  for (const name of ['s1', 's2', 's3', 's4']) void ask('slow', name);
  void ask('quick', 'q1');
  await turn();
  expect(got).toEqual(['s1', 's2', 'q1']);
  releases.get('s1')?.();
  releases.get('s1')?.();
  await turn();
  expect(got).toEqual(['s1', 's2', 'q1', 's3']);
});

test('hosts take turns when all slots are in use', async () => {
  const slots = new DeliverySlots({ maxWebhookDeliveries: 1, maxWebhookDeliveriesPerHost: 1 });
  const got: string[] = [];
  const { ask, releases } = queue(slots, got);
  for (const name of ['a1', 'a2', 'a3']) void ask('a', name);
  void ask('b', 'b1');
  for (let i = 0; i < 4; i++) {
    await turn();
    releases.get(got.at(-1) as string)?.();
  }
  expect(got).toEqual(['a1', 'b1', 'a2', 'a3']);
});

test('who stops waiting takes no slot', async () => {
  const slots = new DeliverySlots({ maxWebhookDeliveries: 1, maxWebhookDeliveriesPerHost: 1 });
  const got: string[] = [];
  const stop = new AbortController();
  const first = queue(slots, got);
  const second = queue(slots, got, stop.signal);
  await first.ask('a', 'first');
  const waiting = second.ask('a', 'second');
  stop.abort(new Error('stopped'));
  await expect(waiting).rejects.toThrow('stopped');
  await expect(second.ask('a', 'third')).rejects.toThrow('stopped');
  const last = first.ask('a', 'last');
  first.releases.get('first')?.();
  await last;
  expect(got).toEqual(['first', 'last']);
});
