import { createPublicKey, verify } from 'node:crypto';
import { hasCode, LIMITS, onCut } from '@holdfast/core';
import { expect, it } from 'vitest';
import { formatPosition, START } from '../src/position.ts';
import { DEAD_LETTERS_PATH } from '../src/subscriptions/dead-letters.ts';
import {
  accepted,
  answer,
  done,
  FakeReceiver,
  silence,
  SubscriptionFixture,
  WEBHOOK,
  type WakeBody,
} from './subscription-fixture.ts';

async function opened(
  options: Parameters<typeof SubscriptionFixture.open>[0] = {},
): Promise<SubscriptionFixture> {
  const node = await SubscriptionFixture.open(options);
  await node.put('sub', WEBHOOK);
  await node.create('events/a');
  return node;
}

const code = (name: string): unknown => expect.objectContaining({ code: name });

it('delivers new work, signed, and moves the cursor when the receiver is done', async () => {
  const node = await opened();
  node.receiver.receive = done;
  const tail = await node.append('events/a');
  await node.settle(100);
  expect(node.receiver.bodies).toMatchObject([
    {
      subscription_id: 'sub',
      generation: 1,
      streams: [
        {
          path: 'events/a',
          link_type: 'glob',
          acked_offset: formatPosition(START),
          tail_offset: formatPosition(tail),
          has_pending: true,
        },
      ],
      callback_url: 'https://node.example/sub/callback',
    },
  ]);
  expect(node.acked('sub', 'events/a')).toEqual(tail);
  await node.settle(120_000);
  expect(node.receiver.bodies).toHaveLength(1);
  await node.close();
});

it('signs the exact bytes with a published key', async () => {
  const node = await opened();
  await node.append('events/a');
  await node.settle(10);
  const [request] = node.receiver.requests;
  const parts = /^t=(\d+),kid=([^,]+),ed25519=([A-Za-z0-9_-]{86})$/.exec(
    request?.headers['Webhook-Signature'] ?? '',
  );
  const [key] = node.engine.publicKeys();
  expect(key).toMatchObject({ kid: parts?.[2], signs: true });
  const publicKey = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: key?.x as string },
    format: 'jwk',
  });
  const signed = Buffer.concat([Buffer.from(`${parts?.[1]}.`), request?.body as Buffer]);
  const signature = Buffer.from(parts?.[3] as string, 'base64url');
  expect(verify(null, signed, publicKey, signature)).toBe(true);
  expect(verify(null, Buffer.concat([signed, Buffer.of(0)]), publicKey, signature)).toBe(false);
  await node.close();
});

it('takes only a JSON object that says done for done', async () => {
  const node = await opened();
  const answers = ['', 'done', 'true', '[true]', '{"done":"true"}', '{"done":1}', 'null', '[['];
  for (const [i, body] of answers.entries()) {
    node.receiver.receive = () => answer(200, body);
    if (i === 0) await node.append('events/a');
    else await node.callback(node.receiver.bodies.at(-1) as WakeBody, true, []);
    await node.settle(10);
    expect(node.receiver.bodies).toHaveLength(i + 1);
    expect(node.acked('sub', 'events/a')).toEqual(START);
  }
  await node.close();
});

it('what came after the snapshot is delivered with the next generation', async () => {
  const node = await opened();
  let late = Promise.resolve<unknown>(undefined);
  node.receiver.receive = async () => {
    if (node.receiver.bodies.length > 1) return done();
    late = node.streams.append({
      path: 'events/a',
      close: false,
      messages: () => ({ bytes: Buffer.from('2,'), lengths: [2] }),
    });
    await late;
    return done();
  };
  await node.append('events/a');
  await node.settle(100);
  await late;
  expect(node.receiver.bodies.map(({ generation }) => generation)).toEqual([1, 2]);
  expect(new Set(node.receiver.bodies.map(({ wake_id: id }) => id)).size).toBe(2);
  expect(node.acked('sub', 'events/a')).toEqual(node.streams.stat('events/a').tail);
  await node.close();
});

it('a callback acks, renews the lease, ends the wake, and is fenced afterwards', async () => {
  const node = await opened();
  await node.append('events/a');
  await node.settle(10);
  const [body] = node.receiver.bodies as [WakeBody];
  for (let i = 0; i < 4; i++) {
    await node.settle(20_000);
    expect(await node.callback(body, false, [])).toEqual({ nextWake: false });
  }
  expect(node.engine.get('sub')).toMatchObject({ generation: 1, failedAttempts: 0 });
  const more = await node.append('events/a');
  expect(await node.callback(body, true)).toEqual({ nextWake: true });
  await node.settle(10);
  expect(node.receiver.bodies).toHaveLength(2);
  await expect(node.callback(body, true)).rejects.toEqual(code('FENCED'));
  const second = node.receiver.bodies[1] as WakeBody;
  const forged = { ...second, callback_token: body.callback_token };
  await expect(node.callback(forged, true)).rejects.toEqual(code('FENCED'));
  const bad = { ...second, callback_token: `${second.callback_token.slice(0, -4)}AAAA` };
  await expect(node.callback(bad, true)).rejects.toEqual(code('TOKEN_INVALID'));
  await expect(node.callback({ ...second, generation: 3 }, true)).rejects.toEqual(code('FENCED'));
  expect(await node.callback(second, true)).toEqual({ nextWake: false });
  expect(node.acked('sub', 'events/a')).toEqual(more);
  await node.close();
});

it('a callback ends the delivery it overtakes, and the next wake does not wait for it', async () => {
  const node = await opened();
  node.receiver.receive = silence;
  await node.append('events/a');
  await node.settle(10);
  await node.append('events/a');
  expect(await node.callback(node.receiver.bodies[0] as WakeBody, true)).toEqual({
    nextWake: true,
  });
  await node.settle(10);
  expect(node.receiver.requests[0]?.signal.aborted).toBe(true);
  expect(node.receiver.bodies).toHaveLength(2);
  expect(node.engine.get('sub')).toMatchObject({ generation: 2, failedAttempts: 0 });
  await node.close();
});

it('acks are taken whole or not at all, and never lower a cursor', async () => {
  const node = await opened();
  const first = await node.append('events/a');
  const tail = await node.append('events/a');
  await node.create('events/b');
  await node.settle(10);
  const [body] = node.receiver.bodies as [WakeBody];
  const ack = (acks: { path: string; offset: typeof tail }[]): Promise<unknown> =>
    node.run(
      node.engine.ack({
        id: 'sub',
        type: 'webhook',
        token: body.callback_token,
        wakeId: body.wake_id,
        generation: body.generation,
        acks,
        done: false,
      }),
    );
  const past = { messages: tail.messages + 1, bytes: tail.bytes + 2 };
  const good = { path: 'events/a', offset: tail };
  await expect(ack([good, { path: 'events/a', offset: past }])).rejects.toEqual(
    code('INVALID_OFFSET'),
  );
  const torn = { messages: 1, bytes: tail.bytes };
  await expect(ack([{ path: 'events/a', offset: torn }])).rejects.toEqual(code('INVALID_OFFSET'));
  await expect(ack([good, { path: 'other', offset: START }])).rejects.toEqual(
    code('INVALID_SUBSCRIPTION'),
  );
  expect(node.acked('sub', 'events/a')).toEqual(START);
  await ack([{ path: 'events/a', offset: tail }]);
  await ack([{ path: 'events/a', offset: first }]);
  expect(node.acked('sub', 'events/a')).toEqual(tail);
  await node.close();
});

it('retries with back-off, a new generation each, until it works', async () => {
  const node = await opened();
  const seen: number[] = [];
  node.receiver.receive = () => {
    seen.push(node.clock.monotonicMs());
    if (seen.length < 5) return answer([500, 302, 404, 101][seen.length - 1] as number);
    return done();
  };
  await node.append('events/a');
  await node.settle(10);
  const info = node.engine.get('sub');
  expect(info).toMatchObject({ status: 'failed', failedAttempts: 1, parked: false });
  expect(info.nextAttemptAtMs).toBeGreaterThan(node.clock.now() + 700);
  await node.settle(60_000);
  const pauses = seen.slice(1).map((at, i) => at - (seen[i] as number));
  for (const [i, pause] of pauses.entries()) {
    expect(pause).toBeGreaterThanOrEqual(1000 * 2 ** i * 0.8);
    expect(pause).toBeLessThanOrEqual(1000 * 2 ** i * 1.2 + 50);
  }
  expect(node.receiver.bodies.map(({ generation }) => generation)).toEqual([1, 2, 3, 4, 5]);
  expect(node.engine.get('sub')).toMatchObject({ status: 'active', failedAttempts: 0 });
  await node.close();
});

it('a late callback still counts while a retry is waiting', async () => {
  const node = await opened();
  node.receiver.receive = () => answer(500);
  const tail = await node.append('events/a');
  await node.settle(10);
  await node.callback(node.receiver.bodies[0] as WakeBody, true);
  await node.settle(120_000);
  expect(node.receiver.bodies).toHaveLength(1);
  expect(node.acked('sub', 'events/a')).toEqual(tail);
  expect(node.engine.get('sub')).toMatchObject({ status: 'active' });
  await node.close();
});

it('a lease that runs out counts as a failed attempt', async () => {
  const node = await opened();
  await node.append('events/a');
  await node.settle(29_900);
  expect(node.engine.get('sub')).toMatchObject({ failedAttempts: 0, generation: 1 });
  await node.settle(200);
  expect(node.engine.get('sub')).toMatchObject({ failedAttempts: 1, status: 'failed' });
  await node.settle(1_300);
  expect(node.receiver.bodies.map(({ generation }) => generation)).toEqual([1, 2]);
  await node.close();
});

it('a retry waits as long after a kill as before it, and generations go on', async () => {
  let node = await opened();
  node.receiver.receive = () => answer(503);
  await node.append('events/a');
  await node.settle(10_000);
  const { generation, nextAttemptAtMs = 0 } = node.engine.get('sub');
  const before = node.receiver.bodies.length;
  expect(nextAttemptAtMs - node.clock.now()).toBeGreaterThan(1_000);
  node = await node.crash();
  expect(node.engine.get('sub')).toMatchObject({ generation, nextAttemptAtMs });
  await node.settle(nextAttemptAtMs - node.clock.now() - 50);
  expect(node.receiver.bodies).toHaveLength(before);
  await node.settle(200);
  expect(node.receiver.bodies).toHaveLength(before + 1);
  expect(node.receiver.bodies.at(-1)?.generation).toBe(generation + 1);
  await node.close();
});

it('a wake that was in flight at a kill is delivered again at once, a delivered one has its lease', async () => {
  let node = await opened();
  node.receiver.receive = silence;
  await node.append('events/a');
  await node.settle(10);
  node = await node.crash();
  node.receiver.receive = accepted;
  await node.settle(10);
  expect(node.receiver.bodies.map(({ generation }) => generation)).toEqual([1, 2]);
  node = await node.crash();
  await node.settle(20_000);
  expect(node.receiver.bodies).toHaveLength(2);
  await node.callback(node.receiver.bodies[1] as WakeBody, true);
  expect(node.engine.get('sub').links).toMatchObject([{ acked: { messages: 1 } }]);
  await node.close();
});

it('gives up after so many attempts: a dead letter, and peace until there is new work', async () => {
  const node = await opened({ settings: { maxWebhookAttempts: 3 } });
  node.receiver.receive = () => answer(500);
  const tail = await node.append('events/a');
  await node.settle(300_000);
  expect(node.receiver.bodies).toHaveLength(3);
  expect(node.engine.get('sub')).toMatchObject({ parked: true, status: 'failed' });
  expect(node.acked('sub', 'events/a')).toEqual(START);
  const [letter, ...others] = await node.read(DEAD_LETTERS_PATH);
  expect(others).toEqual([]);
  expect(letter).toEqual({
    type: 'dead-letter',
    subscription_id: 'sub',
    wake_id: node.receiver.bodies[2]?.wake_id,
    generation: 3,
    attempts: 3,
    reason: 'status 500',
    streams: [
      { path: 'events/a', acked_offset: formatPosition(START), tail_offset: formatPosition(tail) },
    ],
    ts: expect.any(Number) as number,
  });
  expect(node.streams.list({ limit: 10 }).map(({ path }) => path)).toEqual(['events/a']);
  node.receiver.receive = done;
  const last = await node.append('events/a');
  await node.settle(10);
  expect(node.receiver.bodies).toHaveLength(4);
  expect(node.acked('sub', 'events/a')).toEqual(last);
  expect(node.engine.get('sub')).toMatchObject({ parked: false, status: 'active' });
  await node.close();
});

it('a parked subscription is woken by its confirmation, and by a start', async () => {
  let node = await opened({ settings: { maxWebhookAttempts: 1 } });
  node.receiver.receive = () => answer(500);
  await node.append('events/a');
  await node.settle(10_000);
  expect(node.receiver.bodies).toHaveLength(1);
  expect(await node.put('sub', WEBHOOK)).toMatchObject({ created: false });
  await node.settle(10_000);
  expect(node.receiver.bodies).toHaveLength(2);
  node = await node.crash();
  await node.settle(10_000);
  expect(node.receiver.bodies).toHaveLength(3);
  expect(await node.read(DEAD_LETTERS_PATH)).toHaveLength(3);
  await node.close();
});

it('refuses webhooks while the node has no public url', async () => {
  const node = await SubscriptionFixture.open({ callbackUrl: () => undefined });
  await expect(node.put('sub', WEBHOOK)).rejects.toEqual(code('INVALID_SUBSCRIPTION'));
  await node.close();
});

it('a deleted subscription is not delivered, and its tokens open nothing', async () => {
  const node = await opened();
  node.receiver.receive = silence;
  await node.append('events/a');
  await node.settle(10);
  const [body] = node.receiver.bodies as [WakeBody];
  await node.run(node.engine.delete('sub'));
  expect(node.receiver.requests[0]?.signal.aborted).toBe(true);
  await expect(node.callback(body, true)).rejects.toEqual(code('SUBSCRIPTION_NOT_FOUND'));
  await node.put('sub', WEBHOOK);
  await node.append('events/a');
  await node.settle(10);
  expect(node.receiver.bodies.at(-1)?.generation).toBe(1);
  await expect(node.callback(body, true)).rejects.toEqual(code('TOKEN_INVALID'));
  await node.close();
});

it('drains: what is in flight is neither failed nor lost', async () => {
  let node = await opened();
  node.receiver.receive = silence;
  await node.append('events/a');
  await node.settle(10);
  node = await node.reopen();
  expect(node.engine.get('sub')).toMatchObject({ failedAttempts: 0, generation: 1 });
  node.receiver.receive = done;
  await node.settle(10);
  expect(node.receiver.bodies).toHaveLength(2);
  await node.close();
});

it('delivers no more at once than it may, and every subscription in the end', async () => {
  const receiver = new FakeReceiver();
  let active = 0;
  let most = 0;
  const node = await SubscriptionFixture.open({
    receiver,
    settings: { maxWebhookDeliveries: 5, maxWebhookDeliveriesPerHost: 3 },
  });
  receiver.receive = async () => {
    most = Math.max(most, ++active);
    await new Promise<void>((resolve) => node.clock.after(1_000, resolve));
    active--;
    return done();
  };
  for (let i = 0; i < 20; i++) {
    const webhookUrl = `https://host-${i % 2}.example/${i}`;
    await node.put(`sub-${i}`, { ...WEBHOOK, webhookUrl });
  }
  await node.create('events/a');
  await node.append('events/a');
  await node.settle(8_000);
  expect(most).toBe(5);
  const ids = new Set(receiver.bodies.map(({ subscription_id: id }) => id));
  expect(ids.size).toBe(20);
  expect(receiver.bodies).toHaveLength(20);
  await node.close();
});

it('keeps at most so many requests waiting for one subscription', async () => {
  const node = await opened();
  const asked = Array.from({ length: LIMITS.maxSubscriptionQueue + 5 }, (_, i) =>
    node.engine.link('sub', [`x/${i}`]).then(
      () => 'ok',
      (error: unknown) => (hasCode(error, 'COMMIT_QUEUE_FULL') ? 'full' : String(error)),
    ),
  );
  const results = await node.run(Promise.all(asked));
  expect(results.filter((result) => result === 'full')).toHaveLength(5);
  expect(results.filter((result) => result === 'ok')).toHaveLength(LIMITS.maxSubscriptionQueue);
  await node.close();
});

it('work that went away while a retry waited is nothing to give up', async () => {
  const node = await SubscriptionFixture.open({ settings: { maxWebhookAttempts: 1 } });
  await node.put('sub', WEBHOOK);
  await node.create('events/a');
  node.receiver.receive = async () => {
    await node.streams.delete('events/a');
    return answer(500);
  };
  await node.append('events/a');
  await node.settle(120_000);
  expect(node.receiver.bodies).toHaveLength(1);
  expect(node.engine.get('sub')).toMatchObject({ parked: false, status: 'active' });
  expect(() => node.streams.stat(DEAD_LETTERS_PATH)).toThrow();
  await node.close();
});

it('a drain while a wake is on its way to disk: nothing is sent until the next start', async () => {
  let node = await opened();
  let begun = 0;
  const off = onCut((point) => {
    // The wake is durable; what drains the node came while it was not.
    if (point === 'subscriptions.wakeCommitted') node.engine.drain();
    if (point === 'subscriptions.beforeSend') begun++;
  });
  await node.append('events/a');
  await node.settle(60_000);
  off();
  expect([begun, node.receiver.bodies.length]).toEqual([0, 0]);
  expect(node.engine.get('sub')).toMatchObject({ generation: 1 });
  node = await node.reopen();
  await node.settle(10);
  expect(node.receiver.bodies.map(({ generation }) => generation)).toEqual([2]);
  await node.close();
});
