import { describe, expect, it } from 'vitest';
import { SeededRandom } from './seeded-random.ts';
import { SimClock } from './sim-clock.ts';
import type { SimHandler } from './sim-exchange.ts';
import { SimNetwork, type SimNetworkOptions } from './sim-network.ts';
import { NO_NETWORK_FAULTS, type SentRequest, type SimNetworkFaults } from './sim-request.ts';

interface World {
  readonly clock: SimClock;
  readonly network: SimNetwork;
}

function world(seed = 1, options: SimNetworkOptions = {}): World {
  const random = new SeededRandom(seed);
  const clock = new SimClock(random);
  return { clock, network: new SimNetwork(clock, random, options) };
}

function always(...names: (keyof SimNetworkFaults)[]): SimNetworkFaults {
  return { ...NO_NETWORK_FAULTS, ...Object.fromEntries(names.map((name) => [name, 1])) };
}

const POST = { method: 'POST', target: '/x', body: Buffer.from('hello') };

/** Answers with the body it was sent, and keeps a list of them. */
function echo(received: string[]): SimHandler {
  return (request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      received.push(body);
      response.writeHead(200, ['Content-Type', 'text/plain']);
      response.end(`${body}!`);
    });
  };
}

async function answerOf(call: SentRequest): Promise<string> {
  const { status } = await call.head;
  let text = `${status} `;
  for (;;) {
    const chunk = await call.read();
    if (chunk === undefined) return text;
    text += chunk.toString();
  }
}

describe('SimNetwork', () => {
  it('carries a request to a handler and its answer back, in virtual time', async () => {
    const { clock, network } = world();
    const received: string[] = [];
    network.listen(echo(received));
    expect(await clock.run(answerOf(network.send('c', POST)))).toBe('200 hello!');
    expect(received).toEqual(['hello']);
    expect(clock.monotonicMs()).toBeGreaterThan(0);
  });

  it('refuses while nobody listens, and says that it was never seen', async () => {
    const { clock, network } = world();
    let settled = 0;
    const call = network.send('c', POST, { settled: () => settled++ });
    await expect(clock.run(call.head)).rejects.toMatchObject({ kind: 'refused' });
    expect(settled).toBe(1);
  });

  it('loses requests before and answers after their effect', async () => {
    for (const [fault, effects] of [
      ['requestLost', []],
      ['responseLost', ['hello']],
    ] as const) {
      const { clock, network } = world(1, { faults: always(fault) });
      const received: string[] = [];
      let settled = 0;
      network.listen(echo(received));
      const call = network.send('c', POST, { settled: () => settled++ });
      let heard = 'nothing';
      call.head.then(
        () => (heard = 'an answer'),
        () => (heard = 'an error'),
      );
      await clock.advance(10_000);
      expect([received, heard, settled]).toEqual([effects, 'nothing', 1]);
    }
  });

  it('cuts an answer in the middle, and a request: then its end never comes', async () => {
    const cut = world(3, { faults: always('responseCut') });
    cut.network.listen(echo([]));
    const long = { ...POST, body: Buffer.alloc(200, 'a') };
    const reading = cut.clock.run(answerOf(cut.network.send('c', long)));
    await expect(reading).rejects.toMatchObject({ kind: 'reset' });

    const { clock, network } = world(3, { faults: always('requestCut') });
    const received: string[] = [];
    network.listen(echo(received));
    await expect(clock.run(network.send('c', POST).head)).rejects.toMatchObject({ kind: 'reset' });
    expect(received).toEqual([]);
  });

  it('repeats what may be repeated, and settles when both copies are over', async () => {
    const { clock, network } = world(1, { faults: always('repeated') });
    const received: string[] = [];
    const events: string[] = [];
    network.listen(echo(received));
    const call = network.send(
      'c',
      { ...POST, repeatable: true },
      {
        repeated: () => events.push('repeated'),
        settled: () => events.push(`settled after ${received.length}`),
      },
    );
    expect(await clock.run(answerOf(call))).toBe('200 hello!');
    await clock.advance(1000);
    expect(events).toEqual(['repeated', 'settled after 2']);
    await clock.run(answerOf(network.send('c', POST)));
    expect(received.length).toBe(3);
  });

  it('gives each copy a body of its own: a handler may write into it', async () => {
    const { clock, network } = world(1, { faults: always('repeated') });
    const received: string[] = [];
    network.listen((request) => {
      request.on('data', (chunk: Buffer) => {
        received.push(chunk.toString());
        chunk.fill(0);
      });
    });
    network.send('c', { ...POST, repeatable: true });
    await clock.advance(1000);
    expect(received).toEqual(['hello', 'hello']);
  });

  it('lets later requests overtake slow ones', async () => {
    const { clock, network } = world(5, { faults: { ...NO_NETWORK_FAULTS, slow: 0.5 } });
    const received: string[] = [];
    network.listen(echo(received));
    const sent = Array.from({ length: 20 }, (_, i) => String(i));
    for (const text of sent) network.send('c', { ...POST, body: Buffer.from(text) });
    await clock.advance(10_000);
    expect(received).not.toEqual(sent);
    expect([...received].sort()).toEqual([...sent].sort());
  });

  it('holds or loses everything of one client during a partition', async () => {
    const { clock, network } = world(2);
    network.listen(echo([]));
    network.partition('a', 5000);
    const heard: string[] = [];
    for (let i = 0; i < 20; i++) {
      void network.send('a', POST).head.then(() => heard.push('a'));
    }
    void network.send('b', POST).head.then(() => heard.push('b'));
    await clock.advance(4999);
    expect(heard).toEqual(['b']);
    await clock.advance(1000);
    expect(heard.length).toBeGreaterThan(1);
    expect(heard.length).toBeLessThan(21);
  });

  it('breaks every connection when the server dies, and hears nothing of it later', async () => {
    const { clock, network } = world(1);
    const responses: { write(text: string): boolean }[] = [];
    network.listen((_request, response) => {
      response.write('live');
      responses.push(response);
    });
    const calls = Array.from({ length: 20 }, () => network.send('c', { ...POST, method: 'GET' }));
    await clock.run(Promise.all(calls.map((call) => call.head)));
    network.crash();
    for (const response of responses) response.write('from the grave');
    const ends = calls.map((call) => answerOf(call).catch((error: Error) => error.message));
    const cut = Promise.race(ends);
    expect(await clock.run(cut)).toBe('the connection was reset');
    await expect(clock.run(network.send('c', POST).head)).rejects.toMatchObject({
      kind: 'refused',
    });
  });

  it('settles what was answered with 5xx only when the server is gone', async () => {
    const { clock, network } = world(1);
    network.listen((_request, response) => {
      response.writeHead(500);
      response.end();
    });
    let settled = false;
    const call = network.send('c', POST, { settled: () => (settled = true) });
    await clock.run(answerOf(call));
    await clock.advance(1000);
    expect(settled).toBe(false);
    network.crash();
    expect(settled).toBe(true);
  });

  it('makes the server wait for a client that does not read, and tells it when he is gone', async () => {
    const { clock, network } = world(1, { windowBytes: 100 });
    let written = 0;
    let closed = false;
    network.listen((_request, response) => {
      response.on('close', () => (closed = true));
      const more = (): void => {
        written += 100;
        response.write(Buffer.alloc(100), (error) => {
          if (!error) more();
        });
      };
      more();
    });
    const call = network.send('c', { method: 'GET', target: '/' });
    await clock.run(call.head);
    await clock.advance(1000);
    expect(written).toBe(100);
    await clock.run(call.read());
    await clock.advance(1000);
    expect(written).toBe(200);
    call.abort();
    await clock.advance(1000);
    expect(closed).toBe(true);
  });

  it('does the same for the same seed, and something else for another', async () => {
    const hashes: string[] = [];
    for (const seed of [7, 7, 8]) {
      const faults = { ...always(), requestLost: 0.2, responseLost: 0.2, slow: 0.3 };
      const { clock, network } = world(seed, { faults });
      network.listen(echo([]));
      for (let i = 0; i < 30; i++) network.send('c', POST);
      await clock.advance(5000);
      hashes.push(network.traceHash());
    }
    expect(hashes[0]).toBe(hashes[1]);
    expect(hashes[2]).not.toBe(hashes[0]);
  });
});
