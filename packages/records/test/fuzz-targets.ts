/** The parsers of this package, for its test and for `npm run fuzz`. */
import { isDeepStrictEqual } from 'node:util';
import { type ErrorCode, hasCode } from '@holdfast/core';
import type { FuzzTarget } from '@holdfast/testkit';
import {
  createErasure,
  decodeDescriptor,
  decodeMessage,
  decodeSchema,
  decodeSignedValue,
  encodeAnswer,
  encodeDescriptor,
  encodeQuestion,
  encodeSchema,
  encodeSignedValue,
  encodeStatement,
  formatPublicKey,
  formatRecordKey,
  formatSecretKey,
  keyOf,
  type Message,
  openValue,
  parsePublicKey,
  parseRecordKey,
  parseSecretKey,
  type RecordDescriptor,
  type RecordSchema,
  sequence,
  type SignedValue,
  subkeyCount,
  verifyDescriptor,
  verifyValue,
} from '../src/index.ts';
import {
  ANSWERS,
  DESCRIPTOR,
  OWNER,
  PLACE,
  QUESTIONS,
  SCHEMA,
  SECRET,
  STATEMENTS,
  VALUE,
} from './sample-messages.ts';
import { metadataRowTarget } from './metadata/fuzz-metadata-rows.ts';
import { rowTarget } from './store/fuzz-rows.ts';

const messageTarget: FuzzTarget<Message> = {
  name: 'record-messages',
  corpus: [
    ...QUESTIONS.map((question) => encodeQuestion(7, question)),
    ...ANSWERS.map((answer) => encodeAnswer(7, answer)),
    ...STATEMENTS.map((statement) => encodeStatement(statement)),
  ],
  codes: ['PEER_MESSAGE_INVALID'],
  parse: (input) => decodeMessage(input),
  check(message) {
    const again = reencoded(message);
    if (again === undefined) return;
    if (!isDeepStrictEqual(decodeMessage(again), message)) {
      throw new Error('encoded, it is another message');
    }
  },
};

/** `undefined`: of a type that is not known. */
function reencoded(message: Message): Buffer | undefined {
  switch (message.kind) {
    case 'question':
      return message.question && encodeQuestion(message.id, message.question);
    case 'answer':
      return encodeAnswer(message.id, message.answer);
    case 'statement':
      return message.statement && encodeStatement(message.statement);
  }
}

const schemaTarget: FuzzTarget<RecordSchema> = {
  name: 'record-schema',
  corpus: [encodeSchema(SCHEMA), encodeSchema({ type: 'default', subkeys: 1024 })],
  codes: ['INVALID_SCHEMA'],
  parse: (input) => decodeSchema(input),
  check(schema, input) {
    same(encodeSchema(schema), input);
    const count = subkeyCount(schema);
    if (count < 1 || count > 1024) throw new Error(`subkeys=${count}`);
  },
};

const descriptorTarget: FuzzTarget<RecordDescriptor> = {
  name: 'record-descriptor',
  corpus: [encodeDescriptor(DESCRIPTOR)],
  codes: ['PEER_MESSAGE_INVALID', 'INVALID_SCHEMA'],
  parse: (input) => decodeDescriptor(input),
  check(descriptor, input) {
    same(encodeDescriptor(descriptor), input);
    const genuine = encodeDescriptor(DESCRIPTOR).equals(input);
    refused(genuine, ['SIGNATURE_REJECTED'], () => verifyDescriptor(descriptor, DESCRIPTOR.id));
  },
};

const VALUES = [VALUE, createErasure({ ...PLACE, sequence: sequence(3), writer: OWNER })];

const valueTarget: FuzzTarget<SignedValue> = {
  name: 'record-value',
  corpus: VALUES.map((value) => encodeSignedValue(value)),
  codes: ['PEER_MESSAGE_INVALID'],
  parse: (input) => decodeSignedValue(input),
  check(value, input) {
    same(encodeSignedValue(value), input);
    const genuine = VALUES.some((each) => encodeSignedValue(each).equals(input));
    const codes = ['SIGNATURE_REJECTED', 'NOT_A_WRITER', 'RECORD_TOO_LARGE'] as const;
    refused(genuine, codes, () => verifyValue(value, DESCRIPTOR, PLACE.subkey));
    // The signature is not under the encryption, and an erasure has nothing to open.
    const opens = value.kind === 'erased' || value.blob.equals(VALUE.blob);
    refused(opens, ['RECORD_SECRET_WRONG'], () => openValue(value, PLACE, SECRET));
  },
};

const TEXTS = [
  formatRecordKey(keyOf(DESCRIPTOR.id, SECRET)),
  formatRecordKey(keyOf(DESCRIPTOR.id, undefined)),
  formatPublicKey(OWNER.publicKey),
  formatSecretKey(OWNER),
];

const textTarget: FuzzTarget<string> = {
  name: 'record-key-text',
  corpus: TEXTS.map((text) => Buffer.from(text)),
  codes: ['INVALID_RECORD_KEY'],
  parse(input) {
    const text = input.toString('latin1');
    if (text.startsWith('pub1')) return formatPublicKey(parsePublicKey(text));
    if (text.startsWith('sec1')) return formatSecretKey(parseSecretKey(text));
    return formatRecordKey(parseRecordKey(text));
  },
  check(text, input) {
    if (text !== input.toString('latin1')) throw new Error('another text for the same key');
  },
};

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  messageTarget as FuzzTarget,
  schemaTarget as FuzzTarget,
  descriptorTarget as FuzzTarget,
  valueTarget as FuzzTarget,
  textTarget as FuzzTarget,
  rowTarget,
  metadataRowTarget,
];

/** One kind of bytes for one thing. */
function same(encoded: Buffer, input: Buffer): void {
  if (!encoded.equals(input)) throw new Error('encoded, it is other bytes');
}

/** Accepted exactly where it is genuine. */
function refused(genuine: boolean, codes: readonly ErrorCode[], act: () => unknown): void {
  try {
    act();
  } catch (error) {
    if (!genuine && codes.some((code) => hasCode(error, code))) return;
    throw error;
  }
  if (!genuine) throw new Error('what nobody signed is accepted');
}
