/** With a key, nothing that a user gave is found on the disk: not the bytes, not the names. */
import { createSecretKey } from 'node:crypto';
import { KeyRing, onCut } from '@holdfast/core';
import { SeededRandom } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { done, SubscriptionFixture, WEBHOOK } from './subscription-fixture.ts';

const CANARY = 'canary';

/** Paths of files that hold the word, or have it in their names, at any moment of a node's life. */
async function filesWithCanary(keys: KeyRing | undefined): Promise<string[]> {
  const found = new Set<string>();
  let node: SubscriptionFixture | undefined;
  const look = (): void => {
    const { disk } = node?.fs ?? {};
    for (const path of disk?.paths() ?? []) {
      if (path.includes(CANARY) || disk?.content(path).includes(CANARY)) found.add(path);
    }
  };
  const off = onCut(() => look());
  try {
    node = await SubscriptionFixture.open(keys === undefined ? {} : { keys });
    node.receiver.receive = done;
    await use(node);
    node = await node.crash();
    await node.settle(1_000);
    await use(node, 'again');
    await node.run(node.database.compact());
    await node.run(node.database.scrub());
    look();
    await node.close();
    look();
  } finally {
    off();
  }
  return [...found];
}

async function use(node: SubscriptionFixture, life = 'first'): Promise<void> {
  const path = `events/${CANARY}-${life}`;
  await node.put(`${CANARY}-subscription-${life}`, {
    ...WEBHOOK,
    pattern: `events/${CANARY}-${life}/**`,
    webhookUrl: `https://${CANARY}.example/hooks`,
    description: `a ${CANARY}`,
  });
  await node.create(path);
  await node.run(
    node.streams.create({ path: `${path}/typed`, contentType: `text/x-${CANARY}`, closed: false }),
  );
  for (let i = 0; i < 20; i++) {
    await node.append(path, { [`${CANARY}-key`]: `${CANARY} ${i} `.repeat(40) });
    if (i % 6 === 5) await node.run(node.database.checkpoint());
  }
  await node.run(
    node.streams.append({
      path: `${path}/typed`,
      close: true,
      producer: { id: `${CANARY}-producer`, epoch: 0, seq: 0 },
      streamSeq: `${CANARY}-seq`,
      messages: () => ({ bytes: Buffer.from(CANARY), lengths: [CANARY.length] }),
    }),
  );
  await node.settle(1_000);
}

it('no byte and no name of a user is in any file, whatever its name, while a node lives', async () => {
  const keys = new KeyRing([createSecretKey(Buffer.alloc(32, 1))], new SeededRandom(1));
  expect(await filesWithCanary(keys)).toEqual([]);
});

it('the same search finds them in log, tables and extents where there is no key', async () => {
  const found = await filesWithCanary(undefined);
  for (const kind of [/\.seg$/, /\.hft$/, /\.hft\.mirror$/, /\.hfx$/]) {
    expect(
      found.some((path) => kind.test(path)),
      String(kind),
    ).toBe(true);
  }
});
