/** Subscriptions of a node in this process: settings, rotation of keys, drain, moves, no HTTP. */
import type { LookupAddress } from 'node:dns';
import { mkdtempSync, rmSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { WebhookAnswer, WebhookRequest, WebhookSender } from '@holdfast/streams';
import { afterEach, describe, expect, it } from 'vitest';
import { openNode, rebalanceDirectory, nodeComponents, type HoldfastNode } from '../src/index.ts';
import { NodeWebhookSender } from '../src/node-webhook-sender.ts';
import { eventually } from './subscription-client.ts';

const BASE = 'http://node.example/v1/stream/__ds';
const nodes: HoldfastNode[] = [];
const directories: string[] = [];

afterEach(async () => {
  for (const node of nodes.splice(0)) await node.close();
  for (const dir of directories.splice(0)) rmSync(dir, { recursive: true, force: true });
});

/** Notes what is sent; answers what the test says. */
class NotedSender implements WebhookSender {
  readonly sent: WebhookRequest[] = [];
  answer: (request: WebhookRequest) => Promise<WebhookAnswer> = () =>
    Promise.resolve({ status: 200, body: Buffer.from('{"done":true}') });

  assertUrl(): void {}

  send(request: WebhookRequest): Promise<WebhookAnswer> {
    this.sent.push(request);
    return this.answer(request);
  }

  callbackUrls(): string[] {
    return this.sent.map(
      ({ body }) => (JSON.parse(body.toString()) as { callback_url: string }).callback_url,
    );
  }
}

async function open(...args: Parameters<typeof openNode>): Promise<HoldfastNode> {
  const node = await openNode(...args);
  nodes.push(node);
  return node;
}

function directory(): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'holdfast-subscriptions-'));
  directories.push(dir);
  return dir;
}

async function ask(
  node: HoldfastNode,
  method: string,
  route: string,
  body?: unknown,
): Promise<{ status: number; json: Record<string, unknown> }> {
  const response = await node.fetch(
    new Request(`${BASE}/${route}`, {
      method,
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    }),
  );
  const text = await response.text();
  return { status: response.status, json: text === '' ? {} : (JSON.parse(text) as never) };
}

const HOOK = {
  type: 'webhook',
  pattern: 'events/*',
  webhook: { url: 'https://worker.example/hooks' },
};

describe('webhooks', () => {
  it('are refused while nobody can know how to reach the node, and the answer says what to set', async () => {
    const node = await open({ memory: true });
    const refused = await ask(node, 'PUT', 'subscriptions/s', HOOK);
    expect([refused.status, refused.json]).toMatchObject([
      400,
      {
        error: {
          code: 'INVALID_SETTINGS',
          message: expect.stringContaining('publicUrl') as string,
        },
      },
    ]);
    await node.listen({ port: 0 });
    expect((await ask(node, 'PUT', 'subscriptions/s', HOOK)).status).toBe(201);
  });

  it('name the public URL of the settings, with its path, and not the listener', async () => {
    const sender = new NotedSender();
    const publicUrl = 'https://streams.example/holdfast';
    const node = await open(
      { memory: true, publicUrl, openClaims: true },
      { webhookSender: sender },
    );
    await node.listen({ port: 0 });
    const put = await ask(node, 'PUT', 'subscriptions/a%20b', HOOK);
    expect(put.json['webhook']).toMatchObject({
      signing: { jwks_url: `${publicUrl}/v1/stream/__ds/jwks.json` },
    });
    await (await node.streams.open('events/1', { type: 'application/json' })).append({ n: 1 });
    await eventually('a webhook', () => Promise.resolve(sender.sent[0]));
    expect(sender.callbackUrls()).toEqual([
      `${publicUrl}/v1/stream/__ds/subscriptions/a%20b/callback`,
    ]);
  });

  it('that waited since before the start go out once the node listens, to its new port', async () => {
    const dir = directory();
    const sender = new NotedSender();
    sender.answer = () => Promise.reject(new Error('not there'));
    const first = await open({ dir }, { webhookSender: sender });
    await first.listen({ port: 0 });
    await ask(first, 'PUT', 'subscriptions/s', HOOK);
    await (await first.streams.open('events/1', { type: 'application/json' })).append({ n: 1 });
    await eventually('a webhook', () => Promise.resolve(sender.sent[0]));
    await first.close();
    sender.sent.length = 0;
    sender.answer = new NotedSender().answer;
    const second = await open({ dir }, { webhookSender: sender });
    await new Promise((resolve) => setTimeout(resolve, 1_500)); // the time of a retry
    expect(sender.sent).toEqual([]);
    const { url } = await second.listen({ port: 0 });
    await eventually('a webhook', () => Promise.resolve(sender.sent[0]));
    expect(sender.callbackUrls()).toEqual([`${url}/v1/stream/__ds/subscriptions/s/callback`]);
  });

  it('under way are left when the node closes, and are no failure', async () => {
    const dir = directory();
    const sender = new NotedSender();
    sender.answer = ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(new Error('left')));
      });
    const settings = { dir, publicUrl: 'https://streams.example' };
    const node = await open(settings, { webhookSender: sender });
    await ask(node, 'PUT', 'subscriptions/s', HOOK);
    await (await node.streams.open('events/1', { type: 'application/json' })).append({ n: 1 });
    await eventually('a webhook', () => Promise.resolve(sender.sent[0]));
    expect(node.stats().subscriptions).toEqual({
      subscriptions: 1,
      deliveries: 1,
      failed: 0,
      parked: 0,
    });
    await node.close();
    expect(sender.sent.map(({ signal }) => signal.aborted)).toEqual([true]);
    const again = new NotedSender();
    const reopened = await open(settings, { webhookSender: again });
    await eventually('it is delivered', () => Promise.resolve(again.sent[0]));
    expect(reopened.subscriptions.get('s')).toMatchObject({ failedAttempts: 0, generation: 2 });
  });
});

describe('signing keys', () => {
  it('are rotated: the new one is published, signs after its time, and the old one stays', async () => {
    const sender = new NotedSender();
    const node = await open(
      { memory: true, publicUrl: 'https://streams.example' },
      { webhookSender: sender },
      { subscriptions: { signingKeyPrepublishMs: 300 } },
    );
    const signing = async (): Promise<string> => {
      const { json } = await ask(node, 'GET', 'subscriptions/s');
      return (json['webhook'] as { signing: { kid: string } }).signing.kid;
    };
    const published = async (): Promise<string[]> => {
      const { json } = await ask(node, 'GET', 'jwks.json');
      return (json['keys'] as { kid: string }[]).map(({ kid }) => kid);
    };
    expect(await published()).toEqual([]);
    await ask(node, 'PUT', 'subscriptions/s', HOOK);
    const old = await signing();
    expect(await published()).toEqual([old]);
    await node.rotateSigningKey();
    expect(await signing()).toBe(old);
    const both = await published();
    expect(both).toHaveLength(2);
    expect(both).toContain(old);
    await eventually('the new key signs', async () =>
      (await signing()) === old ? undefined : true,
    );
    expect((await published()).sort()).toEqual([...both].sort());
    await (await node.streams.open('events/1', { type: 'application/json' })).append({ n: 1 });
    const sent = await eventually('a webhook', () => Promise.resolve(sender.sent[0]));
    expect(sent.headers['Webhook-Signature']).toContain(`kid=${await signing()},`);
  });
});

describe('without HTTP', () => {
  it('a worker of this process claims and acks', async () => {
    const node = await open({ memory: true });
    await node.streams.open('wakes', { type: 'application/json' });
    const { subscriptions } = node;
    const { created } = await subscriptions.put('s', {
      type: 'pull-wake',
      pattern: 'events/*',
      streams: [],
      wakeStream: 'wakes',
      leaseTtlMs: 30_000,
    });
    expect(created).toBe(true);
    await (await node.streams.open('events/1', { type: 'application/json' })).append({ n: 1 });
    const { wakeId, generation, token, streams } = await subscriptions.claim('s', 'w');
    const acks = streams.map(({ path: stream, tail }) => ({ path: stream, offset: tail }));
    const wake = { id: 's', type: 'pull-wake', wakeId, generation, token } as const;
    expect(await subscriptions.ack({ ...wake, acks, done: true })).toEqual({ nextWake: false });
    await expect(subscriptions.claim('s', 'w')).rejects.toMatchObject({ code: 'NO_PENDING_WORK' });
    expect(subscriptions.list({ limit: 10 }).map(({ id }) => id)).toEqual(['s']);
  });

  it('the streams of the protocol are not among those of the node, and cannot be opened', async () => {
    const sender = new NotedSender();
    sender.answer = () => Promise.resolve({ status: 500, body: Buffer.alloc(0) });
    const node = await open(
      { memory: true, publicUrl: 'https://streams.example', maxWebhookAttempts: 1 },
      { webhookSender: sender },
    );
    await ask(node, 'PUT', 'subscriptions/s', HOOK);
    await (await node.streams.open('events/1', { type: 'application/json' })).append({ n: 1 });
    await eventually('a dead letter', async () => {
      const { status, json } = await ask(node, 'GET', 'dead-letters');
      return status === 200 && Array.isArray(json) && json.length > 0 ? true : undefined;
    });
    expect(node.streams.list({ limit: 1 })).toMatchObject({ streams: [{ path: 'events/1' }] });
    expect(node.streams.list({ limit: 1 }).next).toBeUndefined();
    expect(node.streams.count()).toBe(1);
    expect(node.stats().subscriptions).toMatchObject({ failed: 1, parked: 1 });
    const reserved = { code: 'ROUTE_NOT_FOUND' };
    await expect(node.streams.open('__ds/dead-letters')).rejects.toMatchObject(reserved);
    await expect(node.streams.delete('__ds/dead-letters')).rejects.toMatchObject(reserved);
  });
});

describe('a rebalance', () => {
  it('moves subscriptions, cursors and keys to other shards, and wakes nobody', async () => {
    const dir = directory();
    const sender = new NotedSender();
    sender.answer = () => Promise.resolve({ status: 500, body: Buffer.alloc(0) });
    const settings = { dir, publicUrl: 'https://streams.example', shardCount: 2 };
    const node = await open(settings, { webhookSender: sender });
    await node.streams.open('wakes', { type: 'application/json' });
    for (let n = 0; n < 20; n++) {
      await ask(node, 'PUT', `subscriptions/hook-${n}`, HOOK);
      await ask(node, 'PUT', `subscriptions/pull-${n}`, {
        type: 'pull-wake',
        pattern: 'events/*',
        wake_stream: 'wakes',
      });
    }
    await (await node.streams.open('events/1', { type: 'application/json' })).append({ n: 1 });
    await eventually('all have failed', () =>
      Promise.resolve(node.stats().subscriptions.failed === 20 ? true : undefined),
    );
    await node.close();
    const list = async (of: HoldfastNode): Promise<unknown> =>
      (await ask(of, 'GET', 'subscriptions?limit=1000')).json;
    const keys = async (of: HoldfastNode): Promise<unknown> =>
      (await ask(of, 'GET', 'jwks.json')).json;
    // Wakes of pull-wake change nothing any more: nobody claims, and each event is written.
    const before = await open({ ...settings, publicUrl: undefined }, { webhookSender: sender });
    const [shown, published] = [await list(before), await keys(before)];
    const wakes = before.streams.info('wakes').nextOffset;
    await before.close();

    await rebalanceDirectory({ dir, shardCount: 8 }, nodeComponents());

    const sent = sender.sent.length;
    const after = await open({ dir }, { webhookSender: sender });
    expect(await list(after)).toEqual(shown);
    expect(await keys(after)).toEqual(published);
    expect(after.streams.info('wakes').nextOffset).toBe(wakes);
    expect(sender.sent).toHaveLength(sent);
  });
});

describe('a URL that leads into the network of the node', () => {
  it.each([
    'https://[::1]/',
    'https://localhost/',
    'https://127.1/',
    'https://[::ffff:127.0.0.1]/',
    'https://0x7f000001/',
    'https://100.64.0.1/',
    'https://198.18.0.1/',
    'https://169.254.169.254/latest/meta-data/',
    'https://metadata.google.internal/',
    'https://10.0.0.1/hook',
    'http://10.0.0.1/hook',
    'http://worker.example/',
    'https://worker.example./',
    'https://user:secret@worker.example/',
    'https://worker.example:22/',
  ])('%s is refused when the subscription is made', async (url) => {
    const node = await open({ memory: true, publicUrl: 'https://streams.example' });
    const refused = await ask(node, 'PUT', 'subscriptions/s', { ...HOOK, webhook: { url } });
    expect([refused.status, refused.json['error']]).toMatchObject([
      400,
      { code: 'WEBHOOK_URL_REJECTED' },
    ]);
    expect(JSON.stringify(refused.json)).not.toContain('secret');
  });

  it('behind a name is refused each time it is called, and ends in the dead letters', async () => {
    let connections = 0;
    const inside = net.createServer(() => connections++);
    await new Promise<void>((resolve) => inside.listen(0, '127.0.0.1', resolve));
    const { port } = inside.address() as AddressInfo;
    const lookup = (): Promise<LookupAddress[]> =>
      Promise.resolve([{ address: '127.0.0.1', family: 4 }]);
    const sender = new NodeWebhookSender(
      { clock: nodeComponents().clock, lookup },
      { allowLoopback: true },
    );
    const node = await open(
      { memory: true, publicUrl: 'https://streams.example', maxWebhookAttempts: 2 },
      { webhookSender: sender },
    );
    const url = `https://rebind.example:${port}/`;
    expect((await ask(node, 'PUT', 'subscriptions/s', { ...HOOK, webhook: { url } })).status).toBe(
      201,
    );
    await (await node.streams.open('events/1', { type: 'application/json' })).append({ n: 1 });
    const letters = await eventually('a dead letter', async () => {
      const { status, json } = await ask(node, 'GET', 'dead-letters');
      const all = status === 200 ? (json as unknown as Record<string, unknown>[]) : [];
      return all.length > 0 ? all : undefined; // the stream is there before its first letter
    });
    expect(letters).toMatchObject([{ attempts: 2, reason: 'the address is not allowed' }]);
    expect(connections).toBe(0);
    await new Promise((resolve) => inside.close(resolve));
  });
});
