/**
 * The child of the kill test of key-value stores: opens the directory with a node, says what it
 * finds there, and writes until it is killed. Every acknowledgement is a line on stdout, written before
 * the next write of its writer begins.
 *
 * Arguments: the directory, then for each writer the number of its first operation.
 */
import { writeSync } from 'node:fs';
import { hasCode } from '@holdfast/core';
import { nodeComponents, openNode } from '../../src/index.ts';
import {
  COUNTER,
  KV_KEYS,
  type KvOp,
  operationOf,
  parseValue,
  SHARED,
  storeOf,
} from './kv-operations.ts';

const [dir, ...firsts] = process.argv.slice(2);
const say = (line: unknown): void => void writeSync(1, `${JSON.stringify(line)}\n`);

const node = await openNode({ dir, shardCount: 4 }, nodeComponents(), {
  database: { checkpointLogBytes: 256 * 1024, segmentTargetBytes: 256 * 1024 },
  kv: { purgeIntervalMs: 20, purgeStartGraceMs: 0 },
});

const entries: unknown[] = [];
for (const writer of firsts.keys()) {
  for await (const { key, value, version } of node.kv.store(storeOf(writer)).entries()) {
    entries.push([writer, key, parseValue(value), version]);
  }
}
const shared = node.kv.store(SHARED);
say({
  entries,
  counter: await counted(),
  lastChange: await shared.lastChange(),
});

void checkpoints();
const failed = await Promise.race(firsts.map((first, writer) => write(writer, Number(first))));
say({ failed });
process.exit(1);

async function write(writer: number, first: number): Promise<unknown> {
  for (let n = first; ; n++) {
    const version = await perform(writer, operationOf(writer, n));
    say({ writer, n, version });
  }
}

/** The highest version that it gave. */
async function perform(writer: number, op: KvOp): Promise<number> {
  const store = node.kv.store(storeOf(writer));
  switch (op.kind) {
    case 'put':
      return (await store.put(op.key, op.value, op.ttlMs === undefined ? {} : { ttlMs: op.ttlMs }))
        .version;
    case 'replace': {
      const { version } = (await store.getEntry(op.key)) ?? {};
      const condition = version === undefined ? { ifAbsent: true } : { ifVersion: version };
      return (await store.put(op.key, op.value, condition)).version;
    }
    case 'delete':
      return (await store.del(op.key)).version;
    case 'batch': {
      const acks = await store.batch(
        KV_KEYS.map((key, at) =>
          at === op.deleted ? { type: 'del', key } : { type: 'put', key, value: op.value },
        ),
      );
      return Math.max(...acks.map(({ version }) => version));
    }
    case 'count':
      return increment();
  }
}

/** All writers at one entry: a lost update would show. */
async function increment(): Promise<number> {
  for (;;) {
    const entry = await shared.getEntry(COUNTER);
    const value = Buffer.from(String(Number(Buffer.from(entry?.value ?? []).toString()) + 1));
    const condition = entry === undefined ? { ifAbsent: true } : { ifVersion: entry.version };
    try {
      return (await shared.put(COUNTER, value, condition)).version;
    } catch (error) {
      if (!hasCode(error, 'PRECONDITION_FAILED')) throw error;
    }
  }
}

async function counted(): Promise<number> {
  return Number(Buffer.from((await shared.get(COUNTER)) ?? []).toString());
}

async function checkpoints(): Promise<void> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    await node.checkpoint();
  }
}
