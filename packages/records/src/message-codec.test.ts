import { SeededRandom } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { ANSWERS, OWNER, QUESTIONS, SECRET, STATEMENTS } from '../test/sample-messages.ts';
import type { PeerId } from './coordinate.ts';
import { keyPairOfSeed } from './key-pair.ts';
import {
  decodeMessage,
  encodeAnswer,
  encodeQuestion,
  encodeStatement,
  type Message,
} from './message-codec.ts';
import type { PeerInfo, Question } from './messages.ts';
import { createDescriptor } from './record-descriptor.ts';
import type { RecordSchema } from './schema.ts';
import { sequence } from './sequence.ts';
import { createValue } from './signed-value.ts';
import { SubkeySet } from './subkey-set.ts';

const INVALID = expect.objectContaining({ code: 'PEER_MESSAGE_INVALID' });
const record = Buffer.alloc(32, 0xab).toString('hex');

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');
}

describe('bytes of messages', () => {
  it('are these', () => {
    const get = { type: 'get', record, subkey: 1023, wantDescriptor: true } as never;
    expect(encodeQuestion(0x01020304, get)).toEqual(bytes(`01 00 04030201 01 ${record} ff07 01`));
    const subkeys = SubkeySet.of(0, 1, 5, 7, 8, 1023);
    const inspect = { type: 'inspect', record, subkeys, wantDescriptor: false } as never;
    // Gaps and lengths: 0-1, 5, 7-8, 1023; a gap of 0 leaves one subkey out.
    expect(encodeQuestion(1, inspect)).toEqual(
      bytes(`01 00 01000000 03 ${record} 04 0001 0200 0001 f50700 00`),
    );
    const peers = [{ id: 'p' as PeerId, addresses: ['/a'] }];
    expect(encodeAnswer(2, { type: 'find', peers })).toEqual(
      bytes('01 01 02000000 08 01 01 70 01 02 2f61'),
    );
    const floor = 5 as never;
    expect(encodeAnswer(3, { type: 'set', status: 'outdated', floor, peers: [] })).toEqual(
      bytes('01 01 03000000 02 03 06 00'),
    );
    expect(encodeAnswer(4, { type: 'invalid' })).toEqual(bytes('01 01 04000000 00'));
    expect(encodeQuestion(5, { type: 'ping' })).toEqual(bytes('01 00 05000000 09'));
  });

  it.each(QUESTIONS.map((question, id) => [`${id} ${question.type}`, id, question] as const))(
    'give back question %s',
    (_, id, question) => {
      const expected: Message = { kind: 'question', id, question };
      expect(decodeMessage(encodeQuestion(id, question))).toEqual(expected);
    },
  );

  it.each(ANSWERS.map((answer, id) => [`${id} ${answer.type}`, id, answer] as const))(
    'give back answer %s',
    (_, id, answer) => {
      const expected: Message = { kind: 'answer', id, answer };
      expect(decodeMessage(encodeAnswer(id, answer))).toEqual(expected);
    },
  );

  it.each(STATEMENTS.map((statement, id) => [id, statement] as const))(
    'give back statement %s',
    (_, statement) => {
      const expected: Message = { kind: 'statement', statement };
      expect(decodeMessage(encodeStatement(statement))).toEqual(expected);
    },
  );

  it('are not kept: what was decoded stays what it was', () => {
    for (const question of QUESTIONS) {
      const encoded = encodeQuestion(1, question);
      const decoded = decodeMessage(encoded);
      encoded.fill(0xee);
      expect(decoded).toEqual({ kind: 'question', id: 1, question });
    }
  });

  it('cut short anywhere are no message', () => {
    const all = [
      ...QUESTIONS.map((question) => encodeQuestion(1, question)),
      ...ANSWERS.map((answer) => encodeAnswer(1, answer)),
      ...STATEMENTS.map((statement) => encodeStatement(statement)),
    ];
    for (const encoded of all) {
      for (let length = 0; length < encoded.length; length++) {
        expect(() => decodeMessage(encoded.subarray(0, length)), `${length}`).toThrow(INVALID);
      }
    }
  });
});

describe('a newer peer is no liar:', () => {
  it('what follows the known fields is ignored', () => {
    for (const question of QUESTIONS) {
      const encoded = Buffer.concat([encodeQuestion(1, question), Buffer.from('more')]);
      expect(decodeMessage(encoded)).toEqual({ kind: 'question', id: 1, question });
    }
  });

  it('questions and statements of unknown types have no contents', () => {
    expect(decodeMessage(bytes('01 00 07000000 63'))).toEqual({
      kind: 'question',
      id: 7,
      question: undefined,
    });
    expect(decodeMessage(bytes('01 02 00000000 63'))).toEqual({
      kind: 'statement',
      statement: undefined,
    });
  });
});

describe('bounds of messages', () => {
  const peer = (n: number): PeerInfo => ({ id: `peer-${n}` as PeerId, addresses: [] });

  it('an answer names 20 peers, with 8 addresses of 256 bytes each', () => {
    const many = Array.from({ length: 25 }, (_, n) => peer(n));
    const addresses = ['x'.repeat(257), ...Array.from({ length: 9 }, (_, n) => `/${n}`)];
    const sent = encodeAnswer(1, { type: 'find', peers: [{ ...peer(99), addresses }, ...many] });
    const message = decodeMessage(sent) as { answer: { peers: readonly PeerInfo[] } };
    expect(message.answer.peers).toHaveLength(20);
    expect(message.answer.peers[0]?.addresses).toEqual(addresses.slice(1, 9));
  });

  const find = '01 01 01000000 08';
  it.each([
    [
      '21 peers',
      `${find} 15 ${Array.from({ length: 21 }, (_, n) => `01 ${hex(n + 65)} 00`).join(' ')}`,
    ],
    ['a peer twice', `${find} 02 01 70 00 01 70 00`],
    ['9 addresses', `${find} 01 01 70 09 ${'01 2f'.repeat(9)}`],
    ['an id of 129 bytes', `${find} 01 8101 ${'70'.repeat(129)} 00`],
    ['an empty id', `${find} 01 00 00`],
    ['an id with a line break', `${find} 01 01 0a 00`],
    ['an id that is not ASCII', `${find} 01 02 c3a4 00`],
    ['subkey 1024', `01 00 01000000 01 ${record} 8008 00`],
    ['513 ranges', `01 00 01000000 03 ${record} 8104 ${'0000'.repeat(513)} 00`],
    ['a range above 2^32', `01 00 01000000 03 ${record} 01 ffffffff0f 01 00`],
    ['1025 numbers', `01 01 01000000 03 01 01 8108 ${'00'.repeat(1025)} 00 00`],
    ['the number 2^53 - 1', `01 01 01000000 02 03 808080808080 8010 00`],
    ['version 2', '02 00 01000000 09'],
    ['kind 3', '01 03 01000000 09'],
    ['an answer of an unknown type', '01 01 01000000 63'],
    ['an unknown status', '01 01 01000000 01 09'],
    ['an unknown command', `01 00 01000000 07 ${record} 0000000000000001 09`],
    ['a transaction without an id', `01 00 01000000 07 ${record} 0000000000000000 03`],
    ['a set without a value', `01 00 01000000 02 ${record} 00 00 00`],
    ['a value of no subkey', ''],
  ])('refuse %s', (title, hexText) => {
    const statement = { ...(STATEMENTS[0] as never as object), subkeys: SubkeySet.of() };
    const input =
      title === 'a value of no subkey' ? encodeStatement(statement as never) : bytes(hexText);
    expect(() => decodeMessage(input)).toThrow(INVALID);
  });

  it('refuse a message above 256 KiB, also where the surplus would be ignored', () => {
    const ping = bytes('01 00 05000000 09');
    const largest = Buffer.concat([ping, Buffer.alloc(256 * 1024 - ping.length)]);
    expect(decodeMessage(largest)).toMatchObject({ question: { type: 'ping' } });
    expect(() => decodeMessage(Buffer.concat([largest, Buffer.of(0)]))).toThrow(INVALID);
  });

  it('hold every set of subkeys of a record: each other one of 1024', () => {
    const subkeys = SubkeySet.of(...Array.from({ length: 512 }, (_, n) => 2 * n));
    const question = { type: 'inspect', record, subkeys, wantDescriptor: false } as never;
    expect(decodeMessage(encodeQuestion(1, question))).toMatchObject({ question });
    const more = subkeys.with(5000);
    expect(() => encodeQuestion(1, { ...(question as object), subkeys: more } as never)).toThrow(
      TypeError,
    );
  });

  it('hold the largest value with a schema of 256 members', () => {
    const members = Array.from({ length: 256 }, (_, n) => ({
      key: keyPairOfSeed(Buffer.alloc(32, n)).publicKey,
      subkeys: n === 0 ? 1 : 0,
    }));
    const schema: RecordSchema = { type: 'multi-writer', ownerSubkeys: 1, members };
    const descriptor = createDescriptor(schema, OWNER);
    const about = { record: descriptor.id, subkey: 0, sequence: sequence(0), writer: OWNER };
    const value = createValue(about, SECRET, Buffer.alloc(32 * 1024), new SeededRandom(1));
    const question: Question = { type: 'set', record: descriptor.id, subkey: 0, value, descriptor };
    expect(decodeMessage(encodeQuestion(1, question))).toEqual({
      kind: 'question',
      id: 1,
      question,
    });
  });
});

function hex(value: number): string {
  return value.toString(16);
}
