/** The bytes of questions and statements: a number for the type, then its fields in order. */
import { type ByteReader, type ByteWriter, assert } from '@holdfast/core';
import { COORDINATE_BYTES, coordinateFromBytes } from './coordinate.ts';
import {
  messageInvalid,
  readCount,
  readDescriptor,
  readGivenHandle,
  readGivenValue,
  readHandle,
  readProof,
  readRecord,
  readSubkey,
  readSubkeys,
  readValue,
  writeCount,
  writeDescriptor,
  writeHandle,
  writeProof,
  writeRecord,
  writeSubkeys,
  writeValue,
} from './message-fields.ts';
import type {
  BeginQuestion,
  CommandQuestion,
  Question,
  Statement,
  TransactionCommand,
  TransactionId,
  WatchId,
} from './messages.ts';

/** On the wire, for ever: 0 is the answer that there is none. */
export const QUESTION_TYPES: Readonly<Record<Question['type'], number>> = {
  get: 1,
  set: 2,
  inspect: 3,
  watch: 4,
  begin: 6,
  command: 7,
  find: 8,
  ping: 9,
};
const STATEMENT_TYPES: Readonly<Record<Statement['type'], number>> = { changed: 5 };
const COMMAND_KINDS: Readonly<Record<TransactionCommand['kind'], number>> = {
  get: 1,
  set: 2,
  keep: 3,
  end: 4,
  commit: 5,
  rollback: 6,
};
const WANT_DESCRIPTOR = 1;

export function writeQuestion(to: ByteWriter, question: Question): void {
  to.u8(QUESTION_TYPES[question.type]);
  switch (question.type) {
    case 'get':
      writeRecord(to, question.record).varint(question.subkey);
      to.u8(flag(question.wantDescriptor));
      break;
    case 'set':
      writeRecord(to, question.record).varint(question.subkey);
      writeValue(to, question.value);
      writeDescriptor(to, question.descriptor);
      break;
    case 'inspect':
      writeSubkeys(writeRecord(to, question.record), question.subkeys);
      to.u8(flag(question.wantDescriptor));
      break;
    case 'watch':
      writeSubkeys(writeRecord(to, question.record), question.subkeys);
      to.varint(question.durationMs);
      writeCount(to, question.count);
      writeHandle(to, question.watch);
      writeProof(to, question.proof);
      break;
    case 'begin':
      writeDescriptor(writeRecord(to, question.record), question.descriptor);
      to.u8(flag(question.wantDescriptor));
      writeProof(to, question.proof);
      break;
    case 'command':
      writeHandle(writeRecord(to, question.record), question.transaction);
      writeCommand(to, question.command);
      break;
    case 'find':
      to.raw(question.target);
      break;
    case 'ping':
      break;
  }
}

/** `undefined`: of a type that this release does not know. */
export function readQuestion(from: ByteReader): Question | undefined {
  const type = typeOf(QUESTION_TYPES, from.u8());
  switch (type) {
    case undefined:
      return undefined;
    case 'get':
      return { type, record: readRecord(from), subkey: readSubkey(from), ...readWant(from) };
    case 'set': {
      const place = { record: readRecord(from), subkey: readSubkey(from) };
      return { type, ...place, value: readGivenValue(from), descriptor: readDescriptor(from) };
    }
    case 'inspect':
      return { type, record: readRecord(from), subkeys: readSubkeys(from), ...readWant(from) };
    case 'watch': {
      const about = { record: readRecord(from), subkeys: readSubkeys(from) };
      const bounds = { durationMs: from.varint(), count: readCount(from) };
      const watch = readHandle<WatchId>(from);
      return { type, ...about, ...bounds, watch, proof: readProof(from) };
    }
    case 'begin':
      return readBegin(from);
    case 'command':
      return readCommand(from);
    case 'find':
      return { type, target: coordinateFromBytes(from.raw(COORDINATE_BYTES)) };
    case 'ping':
      return { type };
  }
}

export function writeStatement(to: ByteWriter, statement: Statement): void {
  to.u8(STATEMENT_TYPES[statement.type]);
  writeHandle(writeRecord(to, statement.record), statement.watch);
  writeSubkeys(to, statement.subkeys);
  writeCount(to, statement.count);
  writeValue(to, statement.value);
}

/** `undefined`: of a type that this release does not know. */
export function readStatement(from: ByteReader): Statement | undefined {
  const type = typeOf(STATEMENT_TYPES, from.u8());
  if (type === undefined) return undefined;
  const about = { record: readRecord(from), watch: readGivenHandle<WatchId>(from) };
  const subkeys = readSubkeys(from);
  const count = readCount(from);
  const value = readValue(from);
  if (value !== undefined && subkeys.isEmpty) throw messageInvalid('a value of no subkey');
  return { type, ...about, subkeys, count, value };
}

/** The name with this number. */
export function typeOf<Type extends string>(
  types: Readonly<Record<Type, number>>,
  code: number,
): Type | undefined {
  return (Object.keys(types) as Type[]).find((type) => types[type] === code);
}

function readBegin(from: ByteReader): BeginQuestion {
  const record = readRecord(from);
  const descriptor = readDescriptor(from);
  const { wantDescriptor } = readWant(from);
  if (wantDescriptor && descriptor !== undefined) throw messageInvalid('wants what it has');
  return { type: 'begin', record, descriptor, wantDescriptor, proof: readProof(from) };
}

function writeCommand(to: ByteWriter, command: TransactionCommand): void {
  to.u8(COMMAND_KINDS[command.kind]);
  if (command.kind === 'get' || command.kind === 'set') to.varint(command.subkey);
  if (command.kind === 'set') writeValue(to, command.value);
}

function readCommand(from: ByteReader): CommandQuestion {
  const record = readRecord(from);
  const transaction = readGivenHandle<TransactionId>(from);
  const kind = typeOf(COMMAND_KINDS, from.u8());
  if (kind === undefined) throw messageInvalid('command');
  const about = { type: 'command', record, transaction } as const;
  if (kind !== 'get' && kind !== 'set') return { ...about, command: { kind } };
  const subkey = readSubkey(from);
  if (kind === 'get') return { ...about, command: { kind, subkey } };
  return { ...about, command: { kind, subkey, value: readGivenValue(from) } };
}

function readWant(from: ByteReader): { wantDescriptor: boolean } {
  return { wantDescriptor: (from.u8() & WANT_DESCRIPTOR) !== 0 };
}

function flag(wantDescriptor: boolean): number {
  assert(typeof wantDescriptor === 'boolean', 'a flag is a boolean');
  return wantDescriptor ? WANT_DESCRIPTOR : 0;
}
