/**
 * Questions of every kind with some of their bits turned, or cut, one after the other to one server: it
 * answers all of them, and whatever it keeps in the end was signed by whom the schema names.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  decodeMessage,
  encodeAnswer,
  encodeQuestion,
  type PeerId,
  peerCoordinate,
  type Question,
  type RecordStore,
  verifyDescriptor,
  verifyValue,
} from '../../src/index.ts';
import { QUESTIONS } from '../sample-messages.ts';
import { descriptorOf, peer, valueOf } from '../store/made-records.ts';
import { bytesInRows } from '../store/store-life.ts';
import { ServerLife } from './server-life.ts';

const A = descriptorOf(0);
const CORPUS: readonly Question[] = [
  ...QUESTIONS,
  { type: 'find', target: peerCoordinate(peer('x')) },
  ...[0, 1, 2].map((number) => {
    const value = valueOf(0, number, number);
    return { type: 'set', record: A.id, subkey: number, value, descriptor: A } as const;
  }),
];
const BYTES = CORPUS.map((question) => encodeQuestion(1, question));

const mutation = fc.record({
  nth: fc.nat(BYTES.length - 1),
  bits: fc.array(fc.nat(100_000), { maxLength: 4 }),
  cut: fc.constantFrom(0, 0, 0, 0, 0, 0, 1, 7, 30),
  from: fc.constantFrom<PeerId>(peer('a'), peer('b'), peer('c')),
  waitMs: fc.constantFrom(0, 0, 0, 3_000),
});

/** Signatures are looked at again, with nothing believed that the store says. */
async function checkAll(store: RecordStore): Promise<number> {
  let values = 0;
  for await (const { descriptor, subkeys } of store.entries()) {
    const verified = verifyDescriptor(descriptor, descriptor.id);
    for (const subkey of subkeys.keys()) {
      const value = await store.value(descriptor.id, subkey);
      if (value === undefined) continue;
      verifyValue(value, verified, subkey);
      values++;
    }
  }
  return values;
}

it('a server answers every question that decodes, and keeps nothing that nobody signed', async () => {
  let asked = 0;
  let invalid = 0;
  let values = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(mutation, { minLength: 30, maxLength: 80 }), async (mutations) => {
      const life = await ServerLife.open({ maxRecords: 3 });
      for (const { nth, bits, cut, from, waitMs } of mutations) {
        const bytes = Buffer.from(BYTES[nth] as Buffer);
        for (const bit of bits) {
          const at = (bit >> 3) % bytes.length;
          bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7));
        }
        let message: ReturnType<typeof decodeMessage>;
        try {
          message = decodeMessage(bytes.subarray(0, bytes.length - cut));
        } catch {
          continue;
        }
        if (message.kind !== 'question' || message.question === undefined) continue;
        asked++;
        const answer = await life.server.answer(from, message.question);
        if (answer.type === 'invalid') invalid++;
        else expect(answer.type).toBe(message.question.type);
        decodeMessage(encodeAnswer(1, answer));
        await life.clock.advance(waitMs);
      }
      expect(life.logged).toEqual([]);
      values += await checkAll(life.store);
      expect(life.store.usage().storedBytes).toBe(await bytesInRows(life.kv.store));
      await life.server.close();
    }),
    { numRuns: 60, seed: 11 },
  );
  expect(asked).toBeGreaterThan(500);
  expect(invalid).toBeGreaterThan(50);
  expect(values).toBeGreaterThan(20);
});
