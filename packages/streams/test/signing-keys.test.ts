import { createPublicKey, verify } from 'node:crypto';
import { SILENT } from '@holdfast/core';
import { expect, it } from 'vitest';
import { done, SubscriptionFixture, WEBHOOK } from './subscription-fixture.ts';

const HOUR = 3_600_000;
const MINUTE = 60_000;
const SETTINGS = {
  signingKeyRotationMs: 3 * HOUR,
  signingKeyPrepublishMs: 10 * MINUTE,
  signingKeyRetireMs: 15 * MINUTE,
};

async function opened(): Promise<SubscriptionFixture> {
  const node = await SubscriptionFixture.open({ settings: SETTINGS });
  node.receiver.receive = done;
  await node.put('sub', WEBHOOK);
  await node.create('events/a');
  return node;
}

function kids(node: SubscriptionFixture): string[] {
  return node.engine.publicKeys().map(({ kid }) => kid);
}

function signing(node: SubscriptionFixture): string[] {
  return node.engine
    .publicKeys()
    .filter(({ signs }) => signs)
    .map(({ kid }) => kid);
}

/** Makes a delivery and returns the key it is signed with, verified by the published set. */
async function deliver(node: SubscriptionFixture): Promise<string> {
  await node.append('events/a');
  await node.settle(10);
  const request = node.receiver.requests.at(-1);
  const [, seconds, kid, signature] =
    /^t=(\d+),kid=([^,]+),ed25519=(.+)$/.exec(request?.headers['Webhook-Signature'] ?? '') ?? [];
  const published = node.engine.publicKeys().find((key) => key.kid === kid);
  const key = { kty: 'OKP', crv: 'Ed25519', x: published?.x as string };
  const body = Buffer.concat([Buffer.from(`${seconds}.`), request?.body as Buffer]);
  const publicKey = createPublicKey({ key, format: 'jwk' });
  expect(verify(null, body, publicKey, Buffer.from(signature as string, 'base64url'))).toBe(true);
  return kid as string;
}

it('keys and tokens survive kills and clean stops', async () => {
  let node = await opened();
  const [kid] = kids(node);
  expect(kid).toMatch(/^ds_[A-Za-z0-9_-]{43}$/);
  node.receiver.receive = () => ({ status: 202, body: Buffer.alloc(0) });
  expect(await deliver(node)).toBe(kid);
  node = await node.crash();
  expect(kids(node)).toEqual([kid]);
  node = await node.reopen();
  expect(kids(node)).toEqual([kid]);
  const [body] = node.receiver.bodies;
  expect(body).toBeDefined();
  if (body !== undefined) expect(await node.callback(body, true)).toEqual({ nextWake: false });
  await node.close();
});

it('there are no keys before the first webhook, and one after it', async () => {
  const node = await SubscriptionFixture.open();
  expect(node.engine.publicKeys()).toEqual([]);
  await node.create('wake');
  await node.put('pull', {
    type: 'pull-wake',
    pattern: 'x',
    streams: [],
    wakeStream: 'wake',
    leaseTtlMs: 1000,
  });
  expect(node.engine.publicKeys()).toEqual([]);
  const { webhookUrl = '' } = WEBHOOK;
  await node.run(
    Promise.all(['a', 'b', 'c'].map((id) => node.engine.put(id, { ...WEBHOOK, webhookUrl }))),
  );
  expect(node.engine.publicKeys()).toHaveLength(1);
  await node.close();
});

it('a new key is published before it signs, the old one after; all of it over kills', async () => {
  let node = await opened();
  const [first] = kids(node) as [string];
  await node.run(node.engine.rotateSigningKey());
  await node.run(node.engine.rotateSigningKey());
  expect(kids(node)).toHaveLength(2);
  const [second] = kids(node) as [string];
  expect(second).not.toBe(first);
  expect(await deliver(node)).toBe(first);
  await node.settle(9 * MINUTE);
  node = await node.crash();
  expect(await deliver(node)).toBe(first);
  expect(signing(node)).toEqual([first]);
  await node.settle(MINUTE);
  expect(signing(node)).toEqual([second]);
  expect(await deliver(node)).toBe(second);
  await node.settle(14 * MINUTE);
  expect(kids(node)).toEqual([second, first]);
  node = await node.crash();
  await node.settle(14 * MINUTE);
  expect(kids(node)).toEqual([second, first]);
  await node.settle(3 * MINUTE);
  expect(kids(node)).toEqual([second]);
  node = await node.crash();
  expect(kids(node)).toEqual([second]);
  expect(await deliver(node)).toBe(second);
  await node.close();
});

it('keys rotate by themselves with age', async () => {
  const node = await opened();
  const [first] = kids(node) as [string];
  await node.settle(3 * HOUR - 11 * MINUTE);
  expect(kids(node)).toEqual([first]);
  await node.settle(2 * MINUTE);
  expect(kids(node)).toHaveLength(2);
  expect(signing(node)).toEqual([first]);
  await node.settle(11 * MINUTE);
  expect(signing(node)).not.toEqual([first]);
  await node.settle(17 * MINUTE);
  expect(kids(node)).toHaveLength(1);
  expect(kids(node)).not.toEqual([first]);
  await node.close();
});

it('a clock that jumps takes no key away that signed a moment ago', async () => {
  const node = await opened();
  const [first] = kids(node) as [string];
  await node.run(node.engine.rotateSigningKey());
  expect(await deliver(node)).toBe(first);
  node.clock.jumpWallClock(720 * HOUR);
  await node.settle(2 * MINUTE);
  expect(kids(node)).toContain(first);
  await deliver(node);
  node.clock.jumpWallClock(-1_440 * HOUR);
  await node.settle(2 * MINUTE);
  expect(kids(node)).toContain(await deliver(node));
  await node.close();
});

it('no secret is in a log line or in what is shown', async () => {
  const lines: string[] = [];
  const note = (event: string, fields?: object): void => {
    lines.push(`${event} ${JSON.stringify(fields)}`);
  };
  const logger = { ...SILENT, debug: note, info: note, warn: note, error: note };
  const node = await SubscriptionFixture.open({ logger, settings: { maxWebhookAttempts: 1 } });
  await node.put('sub', WEBHOOK);
  await node.create('events/a');
  node.receiver.receive = () => ({ status: 500, body: Buffer.from('secret of the receiver') });
  await node.append('events/a');
  await node.settle(MINUTE);
  expect(lines.join('\n')).toContain('subscriptions.parked');
  const [body] = node.receiver.bodies;
  const shown = JSON.stringify([lines, node.engine.get('sub'), node.engine.publicKeys()]);
  for (const secret of [body?.callback_token as string, 'secret of the receiver']) {
    expect(shown).not.toContain(secret);
  }
  await node.close();
});
