/** A Yjs document over the published Yjs layer, which stores its updates on the real server. */
import { YjsProvider } from '@durable-streams/y-durable-streams';
import { YjsServer } from '@durable-streams/y-durable-streams/server';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import * as Y from 'yjs';
import { useServer } from './use-server.ts';

const server = useServer();
let layer: YjsServer | undefined;
const providers: YjsProvider[] = [];
const FINISHED = 'done';

beforeAll(async () => {
  layer = new YjsServer({ port: 0, dsServerUrl: server().url, compactionThreshold: 2_000 });
  await layer.start();
});
afterEach(() => {
  for (const provider of providers.splice(0)) provider.destroy();
});
afterAll(() => layer?.stop());

async function join(docId: string, liveMode: 'sse' | 'long-poll'): Promise<[Y.Doc, YjsProvider]> {
  const doc = new Y.Doc();
  const provider = new YjsProvider({ doc, baseUrl: `${layer?.url}/v1/yjs/test`, docId, liveMode });
  providers.push(provider);
  await new Promise<void>((resolve) => {
    if (provider.synced) resolve();
    provider.on('synced', (synced) => {
      if (synced) resolve();
    });
  });
  return [doc, provider];
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe.each(['sse', 'long-poll'] as const)('Yjs by %s', (live) => {
  it('two peers that edit one document at once end with the same text', async () => {
    const [a, providerA] = await join(`both-${live}`, live);
    const [b, providerB] = await join(`both-${live}`, live);
    for (let index = 0; index < 60; index++) {
      a.getText('t').insert(0, `a${index};`);
      b.getText('t').insert(b.getText('t').length, `b${index};`);
      if (index % 10 === 0) await Promise.all([providerA.flush(), providerB.flush()]);
    }
    const length = Array.from({ length: 60 }, (_, n) => `a${n};b${n};`).join('').length;
    await until(() => a.getText('t').length === length && b.getText('t').length === length);
    expect(b.getText('t').toJSON()).toBe(a.getText('t').toJSON());
  }, 30_000);

  it('a peer that joins late, past a compaction, has the whole document', async () => {
    const [a, providerA] = await join(`late-${live}`, live);
    for (let index = 0; index < 40; index++) {
      a.getMap('m').set(`k${index}`, 'v'.repeat(100));
      await providerA.flush();
    }
    a.getMap('m').set('last', FINISHED);
    await providerA.flush();
    const [b] = await join(`late-${live}`, live);
    await until(() => b.getMap('m').get('last') === FINISHED);
    expect(b.getMap('m').toJSON()).toEqual(a.getMap('m').toJSON());
  }, 30_000);
});

describe('Yjs over a restart of the server', () => {
  it('a document outlives a kill, and a new peer reads and edits it', async () => {
    const [a, providerA] = await join('restart', 'sse');
    a.getText('t').insert(0, 'before ');
    await providerA.flush();
    providerA.destroy();
    await server().kill();
    await server().restart();
    const [b, providerB] = await join('restart', 'sse');
    await until(() => b.getText('t').toJSON() === 'before ');
    b.getText('t').insert(7, 'after');
    await providerB.flush();
    const [c] = await join('restart', 'sse');
    await until(() => c.getText('t').toJSON() === 'before after');
    expect(c.getText('t').toJSON()).toBe('before after');
  }, 60_000);
});
