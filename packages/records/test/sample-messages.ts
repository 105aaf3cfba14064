/** One of each kind of everything that peers say, for the tests of the codec and its fuzzing. */
import type { Random } from '@holdfast/core';
import { SeededRandom } from '@holdfast/testkit';
import {
  type Answer,
  createDescriptor,
  createErasure,
  createProof,
  createValue,
  type InvalidAnswer,
  keyPairOfSeed,
  LAST_SEQUENCE,
  type KeyPair,
  peerCoordinate,
  type PeerId,
  type Question,
  type RecordSchema,
  sequence,
  type Statement,
  SubkeySet,
  type TransactionId,
  type WatchId,
} from '../src/index.ts';

export const OWNER: KeyPair = keyPairOfSeed(Buffer.alloc(32, 1));
export const MEMBER: KeyPair = keyPairOfSeed(Buffer.alloc(32, 2));
export const STRANGER: KeyPair = keyPairOfSeed(Buffer.alloc(32, 3));
export const SECRET: Buffer = Buffer.alloc(32, 9);

export const SCHEMA: RecordSchema = {
  type: 'multi-writer',
  ownerSubkeys: 2,
  members: [{ key: MEMBER.publicKey, subkeys: 1 }],
};

const random: Random = new SeededRandom(1);
export const DESCRIPTOR = createDescriptor(SCHEMA, OWNER);
const record = DESCRIPTOR.id;
export const PLACE = { record, subkey: 0 } as const;
const about = { ...PLACE, writer: OWNER };
export const VALUE = createValue(
  { ...about, sequence: sequence(7) },
  SECRET,
  Buffer.from('hello'),
  random,
);
const ERASURE = createErasure({ ...about, sequence: LAST_SEQUENCE });

const A = 'peer-a' as PeerId;
const B = 'peer-b' as PeerId;
const PROOF = createProof({ record, asking: A, answering: B }, MEMBER);
const WATCH = '00000000000000ff' as WatchId;
const TRANSACTION = 'ff00000000000001' as TransactionId;
const peers = [
  { id: A, addresses: ['/ip4/127.0.0.1/tcp/4001', '/ip4/127.0.0.1/tcp/4002/ws'] },
  { id: B, addresses: [] },
];
const sequences = [undefined, sequence(0), LAST_SEQUENCE];
const subkeys = SubkeySet.of(0, 1, 5, 7, 8, 1023);

export const QUESTIONS: readonly Question[] = [
  { type: 'get', record, subkey: 1023, wantDescriptor: true },
  { type: 'set', record, subkey: 0, value: VALUE, descriptor: DESCRIPTOR },
  { type: 'set', record, subkey: 0, value: ERASURE, descriptor: undefined },
  { type: 'inspect', record, subkeys, wantDescriptor: false },
  {
    type: 'watch',
    record,
    subkeys,
    durationMs: 0,
    count: undefined,
    watch: undefined,
    proof: PROOF,
  },
  { type: 'watch', record, subkeys, durationMs: 9, count: 0, watch: WATCH, proof: undefined },
  { type: 'begin', record, descriptor: DESCRIPTOR, wantDescriptor: false, proof: PROOF },
  { type: 'begin', record, descriptor: undefined, wantDescriptor: true, proof: undefined },
  ...(
    [
      { kind: 'get', subkey: 2 },
      { kind: 'set', subkey: 2, value: VALUE },
      { kind: 'keep' },
      { kind: 'end' },
      { kind: 'commit' },
      { kind: 'rollback' },
    ] as const
  ).map((command): Question => ({ type: 'command', record, transaction: TRANSACTION, command })),
  { type: 'find', target: peerCoordinate(A) },
  { type: 'ping' },
];

export const ANSWERS: readonly (Answer | InvalidAnswer)[] = [
  { type: 'invalid' },
  { type: 'get', status: 'far', peers },
  { type: 'get', status: 'held', value: VALUE, descriptor: DESCRIPTOR, peers },
  { type: 'get', status: 'held', value: undefined, descriptor: undefined, peers: [] },
  { type: 'set', status: 'far', peers },
  { type: 'set', status: 'stored', peers },
  { type: 'set', status: 'descriptor-wanted', peers: [] },
  { type: 'set', status: 'locked', peers: [] },
  { type: 'set', status: 'full', peers: [] },
  { type: 'set', status: 'superseded', value: ERASURE, peers },
  { type: 'set', status: 'outdated', floor: sequence(0), peers },
  { type: 'inspect', status: 'far', peers },
  { type: 'inspect', status: 'held', sequences, descriptor: DESCRIPTOR, peers },
  { type: 'inspect', status: 'held', sequences: undefined, descriptor: undefined, peers: [] },
  { type: 'watch', status: 'far', peers },
  { type: 'watch', status: 'active', watch: WATCH, durationMs: 600_000, peers },
  { type: 'watch', status: 'refused', peers },
  { type: 'watch', status: 'ended', peers: [] },
  { type: 'begin', status: 'far', peers },
  {
    type: 'begin',
    status: 'begun',
    transaction: TRANSACTION,
    durationMs: 10_000,
    sequences,
    descriptor: DESCRIPTOR,
    peers,
  },
  { type: 'begin', status: 'descriptor-wanted', peers: [] },
  { type: 'begin', status: 'busy', peers },
  { type: 'command', status: 'gone' },
  { type: 'command', status: 'done', durationMs: 0, value: undefined },
  { type: 'command', status: 'done', durationMs: 10_000, value: VALUE },
  { type: 'command', status: 'outdated', durationMs: 9, floor: sequence(4) },
  { type: 'find', peers },
  { type: 'ping' },
];

export const STATEMENTS: readonly Statement[] = [
  { type: 'changed', record, watch: WATCH, subkeys, count: undefined, value: VALUE },
  { type: 'changed', record, watch: WATCH, subkeys: SubkeySet.of(), count: 0, value: undefined },
];
