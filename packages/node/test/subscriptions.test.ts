/** Subscriptions on the real server process: what receivers and workers see of it. */
import { afterEach, describe, expect, it } from 'vitest';
import { expectStatus, JSON_TYPE, readMessages, request } from './http-request.ts';
import { ServerProcess } from './server-process.ts';
import {
  errorCode,
  eventually,
  SubscriptionClient,
  type ClaimedWake,
  type ShownSubscription,
} from './subscription-client.ts';
import { useServer } from './use-server.ts';
import { WebhookReceiver, type OnDelivery } from './webhook-receiver.ts';

const TOKEN = 'a-token-for-claims-0';
const ARGS = ['--allow-loopback-webhooks', '--max-webhook-attempts', '2'];
const server = useServer({ args: ARGS, env: { HOLDFAST_CLAIM_TOKENS: TOKEN } });
const open: WebhookReceiver[] = [];
let names = 0;

afterEach(async () => {
  for (const receiver of open.splice(0)) await receiver.close();
});

function client(of = server()): SubscriptionClient {
  return new SubscriptionClient(of);
}

async function receiver(onDelivery?: OnDelivery, of = server()): Promise<WebhookReceiver> {
  const opened = await WebhookReceiver.open(() => client(of).url('jwks.json'), onDelivery);
  open.push(opened);
  return opened;
}

/** A folder that no other test matches. */
function folder(): string {
  return `test-${++names}`;
}

async function create(name: string, of = server()): Promise<void> {
  await expectStatus(201, 'PUT', of.stream(name), { headers: JSON_TYPE });
}

async function append(name: string, value: unknown, of = server()): Promise<string> {
  const body = JSON.stringify(value);
  return (await expectStatus(204, 'POST', of.stream(name), { headers: JSON_TYPE, body }))
    .nextOffset;
}

function ackedOf(shown: ShownSubscription, path: string): string | undefined {
  return shown.streams.find((stream) => stream.path === path)?.acked_offset;
}

async function ackedAt(id: string, path: string, offset: string, of = server()): Promise<void> {
  await eventually(`${id} acked ${path} up to ${offset}`, async () =>
    ackedOf(await client(of).show(id), path) === offset ? true : undefined,
  );
}

const webhook = (dir: string, url: string): Record<string, unknown> => ({
  type: 'webhook',
  pattern: `${dir}/*`,
  webhook: { url },
  lease_ttl_ms: 30_000,
});

describe('webhooks', () => {
  it('go to the node they were told, whatever Host a request had', async () => {
    const dir = folder();
    const hooks = await receiver(() => ({ body: { done: true } }));
    const body = JSON.stringify(webhook(dir, hooks.url));
    const put = await request('PUT', client().url(`subscriptions/${dir}`), {
      headers: { ...JSON_TYPE, host: 'elsewhere.localhost:1' },
      body,
    });
    expect(put.status).toBe(201);
    await create(`${dir}/a`);
    await append(`${dir}/a`, { n: 1 });
    const { body: wake } = await hooks.delivery();
    expect(wake.callback_url).toBe(client().url(`subscriptions/${dir}/callback`));
    expect((await client().show(dir)).webhook?.signing.jwks_url).toBe(client().url('jwks.json'));
    expect(hooks.refused).toEqual([]);
  });

  it('that are redirected to somewhere else fail, and nobody else is called', async () => {
    const dir = folder();
    const other = await receiver();
    const hooks = await receiver(() => ({ status: 307, headers: { location: other.url } }));
    await client().put(dir, webhook(dir, hooks.url));
    await create(`${dir}/a`);
    await append(`${dir}/a`, 1);
    const shown = await eventually('a failed delivery', async () => {
      const now = await client().show(dir);
      return now.status === 'failed' ? now : undefined;
    });
    expect(Date.parse(shown.next_attempt_at as string)).toBeGreaterThan(Date.now() - 60_000);
    expect(other.deliveries).toEqual([]);
  });

  it('are acked stream by stream, and go on with what came meanwhile', async () => {
    const dir = folder();
    const hooks = await receiver();
    await client().put(dir, webhook(dir, hooks.url));
    await create(`${dir}/a`);
    const first = await append(`${dir}/a`, 1);
    const { body: wake } = await hooks.delivery();
    const second = await append(`${dir}/a`, 2);
    const acks = [{ stream: `${dir}/a`, offset: first }];
    const token = wake.callback_token;
    const kept = await client().act(dir, 'callback', wake, token, { acks });
    expect(JSON.parse(kept.text)).toEqual({ ok: true, next_wake: false });
    expect(ackedOf(await client().show(dir), `${dir}/a`)).toBe(first);
    const done = await client().act(dir, 'callback', wake, token, { acks, done: true });
    expect(JSON.parse(done.text)).toEqual({ ok: true, next_wake: true });
    const { body: next } = await hooks.delivery(({ body }) => body.generation > wake.generation);
    expect(next.wake_id).not.toBe(wake.wake_id);
    expect(next.streams[0]).toMatchObject({ acked_offset: first, tail_offset: second });
    expect(errorCode(await client().act(dir, 'callback', wake, token, { acks }))).toBe('FENCED');
  });

  it('that nobody takes end in the dead letters; the same PUT, or new work, begins again', async () => {
    const dir = folder();
    const hooks = await receiver(() => ({ status: 500 }));
    const config = webhook(dir, hooks.url);
    await client().put(dir, config);
    await create(`${dir}/a`);
    const tail = await append(`${dir}/a`, 1);
    const parked = await eventually('parked', async () => {
      const now = await client().show(dir);
      return now.parked === true ? now : undefined;
    });
    expect(parked).toMatchObject({ status: 'failed', failed_attempts: 2 });
    const letters = await readMessages<Record<string, unknown>>(client().url('dead-letters'));
    const letter = letters.find(({ subscription_id: id }) => id === dir);
    expect(letter).toMatchObject({
      type: 'dead-letter',
      attempts: 2,
      reason: 'status 500',
      streams: [{ path: `${dir}/a`, tail_offset: tail }],
    });
    expect(hooks.deliveries.map(({ body }) => body.generation)).toEqual([1, 2]);
    hooks.answers(() => ({ body: { done: true } }));
    expect((await client().put(dir, config)).status).toBe(200);
    await ackedAt(dir, `${dir}/a`, tail);
    const after = await client().show(dir);
    expect([after.status, after.parked, after.failed_attempts]).toEqual([
      'active',
      undefined,
      undefined,
    ]);
  });

  it('dead letters can be followed, and are in no list', async () => {
    const dir = folder();
    const hooks = await receiver(() => undefined);
    const before = await request('HEAD', client().url('dead-letters'));
    const from = before.status === 200 ? before.nextOffset : '-1';
    await client().put(dir, webhook(dir, hooks.url));
    await create(`${dir}/a`);
    await append(`${dir}/a`, 1);
    const letters = await eventually('a dead letter', async () => {
      const poll = await request(
        'GET',
        `${client().url('dead-letters')}?offset=${from}&live=long-poll`,
      );
      return poll.status === 200 && poll.text.includes(dir) ? poll.text : undefined;
    });
    expect(letters).toContain('"reason":"no answer"');
    const all = await expectStatus(200, 'GET', `${server().url}/v1/streams?limit=1000`);
    const reserved = await expectStatus(200, 'GET', `${server().url}/v1/streams?prefix=__ds`);
    expect(all.text).not.toContain('__ds');
    expect(JSON.parse(reserved.text)).toEqual({ streams: [] });
    for (const method of ['PUT', 'POST', 'DELETE']) {
      const refused = await request(method, client().url('dead-letters'), {
        headers: JSON_TYPE,
        body: '[]',
      });
      expect([method, refused.status, errorCode(refused)]).toEqual([
        method,
        405,
        'METHOD_NOT_ALLOWED',
      ]);
    }
  });
});

describe('pull-wake', () => {
  async function pulled(
    leaseTtlMs = 60_000,
  ): Promise<{ dir: string; tail: string; wake: ClaimedWake }> {
    const dir = folder();
    await create(`${dir}-wakes`);
    const put = await client().put(dir, {
      type: 'pull-wake',
      pattern: `${dir}/**`,
      wake_stream: `${dir}-wakes`,
      lease_ttl_ms: leaseTtlMs,
    });
    expect(put.status).toBe(201);
    await create(`${dir}/a/b`);
    const tail = await append(`${dir}/a/b`, 1);
    const claimed = await client().claim(dir, 'w1', TOKEN);
    expect(claimed.status).toBe(200);
    return { dir, tail, wake: JSON.parse(claimed.text) as ClaimedWake };
  }

  it('tells of work in the wake stream, once for each wake', async () => {
    const dir = folder();
    await create(`${dir}-wakes`);
    const pull = { type: 'pull-wake', streams: [`${dir}/a`], wake_stream: `${dir}-wakes` };
    await client().put(dir, pull);
    await create(`${dir}/a`);
    await append(`${dir}/a`, 1);
    await append(`${dir}/a`, 2);
    const wakes = await eventually('a wake', async () => {
      const found = await readMessages<Record<string, unknown>>(server().stream(`${dir}-wakes`));
      return found.length > 0 ? found : undefined;
    });
    expect(wakes).toEqual([
      {
        type: 'wake',
        subscription_id: dir,
        stream: `${dir}/a`,
        generation: 1,
        ts: expect.any(Number) as number,
      },
    ]);
  });

  it('gives a lease to one worker, which ends by its ack', async () => {
    const { dir, tail, wake } = await pulled();
    const busy = await client().claim(dir, 'w2', TOKEN);
    expect([busy.status, JSON.parse(busy.text)]).toMatchObject([
      409,
      { error: { code: 'ALREADY_CLAIMED', current_holder: 'w1', generation: wake.generation } },
    ]);
    const acks = [{ stream: `${dir}/a/b`, offset: tail }];
    const done = await client().act(dir, 'ack', wake, wake.token, { acks, done: true });
    expect(JSON.parse(done.text)).toEqual({ ok: true, next_wake: false });
    expect(errorCode(await client().claim(dir, 'w2', TOKEN))).toBe('NO_PENDING_WORK');
  });

  it('takes a lease that ran out from its worker, and lets nothing of it in any more', async () => {
    const { dir, tail, wake } = await pulled(1_000);
    const next = await eventually('another claim', async () => {
      const claimed = await client().claim(dir, 'w2', TOKEN);
      return claimed.status === 200 ? (JSON.parse(claimed.text) as ClaimedWake) : undefined;
    });
    expect(next.generation).toBeGreaterThan(wake.generation);
    const acks = [{ stream: `${dir}/a/b`, offset: tail }];
    for (const action of ['ack', 'release'] as const) {
      const more = action === 'ack' ? { acks, done: true } : {};
      expect(errorCode(await client().act(dir, action, wake, wake.token, more))).toBe('FENCED');
    }
    expect(ackedOf(await client().show(dir), `${dir}/a/b`)).not.toBe(tail);
    expect((await client().act(dir, 'release', next, next.token)).status).toBe(204);
  });

  it('answers each mistake with its own code, and nothing changes', async () => {
    const { dir, wake } = await pulled();
    const before = await client().show(dir);
    const path = `${dir}/a/b`;
    const beyond = [{ stream: path, offset: '0000000000000009_0000000000000099' }];
    const base = { type: 'pull-wake', pattern: `${dir}/**`, wake_stream: `${dir}-wakes` };
    const at = `subscriptions/${dir}`;
    const act = client().act.bind(client());
    const expectCode = async (
      code: string,
      status: number,
      answer: ReturnType<typeof act>,
    ): Promise<void> => {
      const given = await answer;
      expect([code, given.status, errorCode(given)]).toEqual([code, status, code]);
    };
    await expectCode(
      'SUBSCRIPTION_EXISTS',
      409,
      client().put(dir, { ...base, lease_ttl_ms: 5_000 }),
    );
    await expectCode(
      'WAKE_STREAM_NOT_FOUND',
      409,
      client().put(`${dir}x`, { ...base, wake_stream: 'none' }),
    );
    await expectCode(
      'INVALID_SUBSCRIPTION',
      400,
      client().put(`${dir}x`, { ...base, pattern: 'a*' }),
    );
    await expectCode(
      'INVALID_SUBSCRIPTION',
      400,
      client().put(`${dir}x`, { ...base, wake_stream: `${dir}-wakes`, pattern: '' }),
    );
    await expectCode('SUBSCRIPTION_NOT_FOUND', 404, client().send('GET', 'subscriptions/none'));
    await expectCode('SUBSCRIPTION_NOT_FOUND', 404, client().send('DELETE', 'subscriptions/none'));
    await expectCode('SUBSCRIPTION_NOT_FOUND', 404, client().claim('none', 'w', TOKEN));
    await expectCode(
      'SUBSCRIPTION_NOT_FOUND',
      404,
      client().send('POST', 'subscriptions/none/streams', { streams: ['a'] }),
    );
    await expectCode('SUBSCRIPTION_NOT_FOUND', 404, act('none', 'ack', wake, wake.token));
    await expectCode('TOKEN_REQUIRED', 401, client().claim(dir, 'w'));
    await expectCode('TOKEN_INVALID', 401, client().claim(dir, 'w', wake.token));
    await expectCode('TOKEN_REQUIRED', 401, client().send('POST', `${at}/ack`, wake));
    await expectCode('TOKEN_INVALID', 401, act(dir, 'ack', wake, TOKEN));
    // Base64url has four spellings of the same last bytes, and numbers have zeros before them.
    const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const respelled = [...last].map((char) => wake.token.slice(0, -1) + char);
    for (const token of [...respelled, `0${wake.token}`, `${wake.token}=`]) {
      if (token === wake.token) continue;
      await expectCode('TOKEN_INVALID', 401, act(dir, 'release', wake, token));
    }
    await expectCode('FENCED', 409, act(dir, 'ack', { ...wake, generation: 99 }, wake.token));
    await expectCode('FENCED', 409, act(dir, 'ack', { ...wake, wake_id: 'w_other' }, wake.token));
    await expectCode('INVALID_OFFSET', 400, act(dir, 'ack', wake, wake.token, { acks: beyond }));
    await expectCode(
      'INVALID_SUBSCRIPTION',
      400,
      act(dir, 'callback', wake, wake.token, { done: true }),
    );
    await expectCode(
      'WEBHOOK_URL_REJECTED',
      400,
      client().put(`${dir}x`, webhook(dir, 'https://10.0.0.1/')),
    );
    await expectCode(
      'WEBHOOK_URL_REJECTED',
      400,
      client().put(`${dir}x`, webhook(dir, 'http://worker.example/')),
    );
    await expectCode('ROUTE_NOT_FOUND', 404, client().send('GET', 'nothing'));
    expect(await client().show(dir)).toEqual(before);
    await expectStatus(404, 'GET', client().url(`subscriptions/${dir}x`));
  });

  it('starts over when it is deleted and made again: nothing of before is let in', async () => {
    const { dir, tail, wake } = await pulled();
    expect((await client().send('DELETE', `subscriptions/${dir}`)).status).toBe(204);
    const acks = [{ stream: `${dir}/a/b`, offset: tail }];
    const more = { acks, done: true };
    expect(errorCode(await client().act(dir, 'ack', wake, wake.token, more))).toBe(
      'SUBSCRIPTION_NOT_FOUND',
    );
    const config = { type: 'pull-wake', pattern: `${dir}/**`, wake_stream: `${dir}-wakes` };
    expect((await client().put(dir, config)).status).toBe(201);
    expect(ackedOf(await client().show(dir), `${dir}/a/b`)).toBe(tail); // linked at its tail
    const late = await client().act(dir, 'ack', wake, wake.token, more);
    expect([late.status, errorCode(late)]).toEqual([401, 'TOKEN_INVALID']);
  });

  it('keeps explicit streams by hand, beside those of the pattern', async () => {
    const { dir } = await pulled();
    const at = `subscriptions/${dir}/streams`;
    const add = await client().send('POST', at, { streams: [`${dir}/a/b`, `by hand ${dir}`] });
    expect(add.status).toBe(204);
    const types = async (): Promise<unknown[]> =>
      (await client().show(dir)).streams.map(({ path, link_type: type }) => [path, type]);
    expect(await types()).toEqual([
      [`by hand ${dir}`, 'explicit'],
      [`${dir}/a/b`, 'explicit'],
    ]);
    for (const path of [`by%20hand%20${dir}`, `${dir}/a/b`, encodeURIComponent(`${dir}/a/b`)]) {
      expect((await client().send('DELETE', `${at}/${path}`)).status).toBe(204);
    }
    expect(await types()).toEqual([[`${dir}/a/b`, 'glob']]);
  });
});

describe('after a restart', () => {
  it.each(['stop', 'kill'] as const)(
    '(%s) subscriptions, cursors, retry times, generations and keys are the same',
    async (how) => {
      await using own = await ServerProcess.start({
        args: ['--allow-loopback-webhooks', '--open-claims'],
      });
      const control = client(own);
      let work = 0;
      const hooks = await receiver(
        () => (++work === 1 ? { body: { done: true } } : { status: 500 }),
        own,
      );
      await control.put('hook', webhook('events', hooks.url));
      await create('wakes', own);
      await control.put('pull', { type: 'pull-wake', streams: ['events/a'], wake_stream: 'wakes' });
      await create('events/a', own);
      const first = await append('events/a', 1, own);
      await ackedAt('hook', 'events/a', first, own);
      const wake = JSON.parse((await control.claim('pull', 'w1')).text) as ClaimedWake;
      // Four failures: the pause after them is longer than a restart takes.
      await append('events/a', 2, own);
      const failed = await eventually('four failures', async () => {
        const shown = await control.show('hook');
        return (shown.failed_attempts ?? 0) >= 3 ? shown : undefined;
      });
      const keys = await expectStatus(200, 'GET', control.url('jwks.json'));
      const pull = await control.show('pull');

      await own[how]();
      await own.restart();

      expect(await control.show('hook')).toEqual(failed);
      expect(await control.show('pull')).toEqual(pull);
      expect((await expectStatus(200, 'GET', control.url('jwks.json'))).text).toBe(keys.text);
      expect(errorCode(await control.claim('pull', 'w2'))).toBe('ALREADY_CLAIMED');
      // The claim of before is still good.
      const acks = [{ stream: 'events/a', offset: first }];
      expect((await control.act('pull', 'ack', wake, wake.token, { acks })).status).toBe(200);
      const again = await hooks.delivery(({ body }) => body.generation > failed.generation);
      expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(failed.next_attempt_at as string) - 50);
      expect(again.kid).toBe(failed.webhook?.signing.kid);
      const generations = hooks.deliveries.map(({ body }) => body.generation);
      expect(generations).toEqual([...new Set(generations)].sort((a, b) => a - b));
      expect(hooks.refused).toEqual([]);
    },
    60_000,
  );
});
