import { createSocket, type Socket } from 'node:dgram';
import type { LookupAddress } from 'node:dns';
import { afterEach, expect, it } from 'vitest';
import { nameLookup } from './node-name-lookup.ts';

const A = 1;
const AAAA = 28;
const NO_SUCH_NAME = 3;

let server: Socket | undefined;
afterEach(() => {
  server?.close();
  server = undefined;
});

/** A name server: answers what `answerTo` gives, a code for an error, and nothing for nothing. */
async function serving(
  answerTo: (name: string, type: number) => readonly Buffer[] | number | undefined,
): Promise<string> {
  const own = createSocket('udp4');
  server = own;
  own.on('message', (question, from) => {
    const answer = answerTo(nameIn(question), typeIn(question));
    if (answer !== undefined) own.send(encodeAnswer(question, answer), from.port);
  });
  await new Promise<void>((resolve) => own.bind(0, '127.0.0.1', resolve));
  return `127.0.0.1:${own.address().port}`;
}

function nameIn(question: Buffer): string {
  const labels: string[] = [];
  for (let at = 12; question[at] !== 0; at += 1 + (question[at] as number)) {
    labels.push(question.toString('latin1', at + 1, at + 1 + (question[at] as number)));
  }
  return labels.join('.').toLowerCase();
}

function typeIn(question: Buffer): number {
  return question.readUInt16BE(question.indexOf(0, 12) + 1);
}

function encodeAnswer(question: Buffer, answer: readonly Buffer[] | number): Buffer {
  const records = typeof answer === 'number' ? [] : answer;
  const head = Buffer.from(question.subarray(0, 12));
  head.writeUInt16BE(0x8180 + (typeof answer === 'number' ? answer : 0), 2);
  head.writeUInt16BE(records.length, 6);
  head.writeUInt32BE(0, 8);
  const type = typeIn(question);
  const encoded = records.map((address) => {
    const record = Buffer.alloc(12);
    record.writeUInt16BE(0xc00c, 0);
    record.writeUInt16BE(type, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt16BE(address.length, 10);
    return Buffer.concat([record, address]);
  });
  const end = question.indexOf(0, 12) + 5; // what stands behind the question is not for us
  return Buffer.concat([head, question.subarray(12, end), ...encoded]);
}

it('gives every address of both families', async () => {
  const at = await serving((_name, type) =>
    type === A
      ? [Buffer.from([203, 0, 113, 1]), Buffer.from([203, 0, 113, 2])]
      : [Buffer.from('20010db8000000000000000000000001', 'hex')],
  );
  expect(await nameLookup([at])('worker.example')).toEqual([
    { address: '203.0.113.1', family: 4 },
    { address: '203.0.113.2', family: 4 },
    { address: '2001:db8::1', family: 6 },
  ]);
});

it('needs one family alone, and says when there is none', async () => {
  const at = await serving((name, type) => {
    if (name === 'none.example') return NO_SUCH_NAME;
    return type === AAAA ? [Buffer.alloc(16, 0x20)] : [];
  });
  const found = await nameLookup([at])('six.example');
  expect(found.map(({ family }) => family)).toEqual([6]);
  await expect(nameLookup([at])('none.example')).rejects.toMatchObject({ code: 'ENOTFOUND' });
});

it('any number of names whose servers say nothing hold up no other name', async () => {
  const asked = new Set<string>();
  const at = await serving((name, type) => {
    asked.add(name);
    return name === 'alive.example' && type === A ? [Buffer.from([203, 0, 113, 1])] : undefined;
  });
  const lookup = nameLookup([at]);
  let ended = 0;
  const dead = Array.from({ length: 64 }, (_, i) =>
    lookup(`dead-${i}.example`).then(
      () => ended++,
      () => ended++,
    ),
  );
  while (asked.size < dead.length) await new Promise((resolve) => setTimeout(resolve, 5));
  const alive = new Promise<readonly LookupAddress[]>((resolve, reject) => {
    lookup('alive.example').then(resolve, reject);
  });
  while (!asked.has('alive.example')) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(ended).toBe(0); // it was asked while all of them waited
  await Promise.all([alive, ...dead]);
  expect(ended).toBe(dead.length); // and they end
}, 60_000);

it('asks the system for localhost', async () => {
  const found = await nameLookup(['127.0.0.1:9'])('localhost');
  expect(found.length).toBeGreaterThan(0);
});
