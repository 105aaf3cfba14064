/**
 * The bytes of answers: the number of the question's type, then for most of them the number of the
 * status, its fields, and the peers that are nearer.
 */
import type { ByteReader, ByteWriter } from '@holdfast/core';
import {
  messageInvalid,
  readDescriptor,
  readGivenHandle,
  readGivenSequence,
  readGivenValue,
  readPeers,
  readSequences,
  readValue,
  writeDescriptor,
  writeHandle,
  writePeers,
  writeSequence,
  writeSequences,
  writeValue,
} from './message-fields.ts';
import type {
  Answer,
  BeginAnswer,
  CommandAnswer,
  GetAnswer,
  InspectAnswer,
  InvalidAnswer,
  SetAnswer,
  TransactionId,
  WatchAnswer,
  WatchId,
} from './messages.ts';
import { QUESTION_TYPES, typeOf } from './question-codec.ts';

const INVALID = 0;
const FAR = 0;

const HELD = { far: FAR, held: 1 } as const;
const SET_STATUS = {
  far: FAR,
  stored: 1,
  superseded: 2,
  outdated: 3,
  'descriptor-wanted': 4,
  locked: 5,
  full: 6,
} as const;
const WATCH_STATUS = { far: FAR, active: 1, refused: 2, ended: 3 } as const;
const BEGIN_STATUS = { far: FAR, begun: 1, 'descriptor-wanted': 2, busy: 3 } as const;
const COMMAND_STATUS = { gone: 0, done: 1, outdated: 2 } as const;

export function writeAnswer(to: ByteWriter, answer: Answer | InvalidAnswer): void {
  if (answer.type === 'invalid') {
    to.u8(INVALID);
    return;
  }
  to.u8(QUESTION_TYPES[answer.type]);
  switch (answer.type) {
    case 'get':
      writeGet(to, answer);
      break;
    case 'set':
      to.u8(SET_STATUS[answer.status]);
      if (answer.status === 'superseded') writeValue(to, answer.value);
      if (answer.status === 'outdated') writeSequence(to, answer.floor);
      break;
    case 'inspect':
      writeInspect(to, answer);
      break;
    case 'watch':
      to.u8(WATCH_STATUS[answer.status]);
      if (answer.status !== 'active') break;
      writeHandle(to, answer.watch);
      to.varint(answer.durationMs);
      break;
    case 'begin':
      writeBegin(to, answer);
      break;
    case 'command':
      to.u8(COMMAND_STATUS[answer.status]);
      if (answer.status !== 'gone') to.varint(answer.durationMs);
      if (answer.status === 'done') writeValue(to, answer.value);
      if (answer.status === 'outdated') writeSequence(to, answer.floor);
      break;
    case 'find':
    case 'ping':
      break;
  }
  if ('peers' in answer) writePeers(to, answer.peers);
}

export function readAnswer(from: ByteReader): Answer | InvalidAnswer {
  const code = from.u8();
  if (code === INVALID) return { type: 'invalid' };
  const type = typeOf(QUESTION_TYPES, code);
  switch (type) {
    case undefined:
      throw messageInvalid(`answer type=${code}`);
    case 'get':
      return readGet(from);
    case 'set':
      return readSet(from);
    case 'inspect':
      return readInspect(from);
    case 'watch':
      return readWatch(from);
    case 'begin':
      return readBegin(from);
    case 'command':
      return readCommand(from);
    case 'find':
      return { type, peers: readPeers(from) };
    case 'ping':
      return { type };
  }
}

function writeGet(to: ByteWriter, answer: GetAnswer): void {
  to.u8(HELD[answer.status]);
  if (answer.status === 'far') return;
  writeValue(to, answer.value);
  writeDescriptor(to, answer.descriptor);
}

function readGet(from: ByteReader): GetAnswer {
  const status = readStatus(HELD, from);
  if (status === 'far') return { type: 'get', status, peers: readPeers(from) };
  const held = { value: readValue(from), descriptor: readDescriptor(from) };
  return { type: 'get', status, ...held, peers: readPeers(from) };
}

function readSet(from: ByteReader): SetAnswer {
  const type = 'set';
  const status = readStatus(SET_STATUS, from);
  switch (status) {
    case 'superseded':
      return { type, status, value: readGivenValue(from), peers: readPeers(from) };
    case 'outdated':
      return { type, status, floor: readGivenSequence(from), peers: readPeers(from) };
    case 'far':
      return { type, status, peers: readPeers(from) };
    default:
      return { type, status, peers: readPeers(from) };
  }
}

/** A byte says whether the record is known; the numbers are those that were asked for, or none. */
function writeInspect(to: ByteWriter, answer: InspectAnswer): void {
  to.u8(HELD[answer.status]);
  if (answer.status === 'far') return;
  to.u8(answer.sequences === undefined ? 0 : 1);
  if (answer.sequences !== undefined) writeSequences(to, answer.sequences);
  writeDescriptor(to, answer.descriptor);
}

function readInspect(from: ByteReader): InspectAnswer {
  const type = 'inspect';
  const status = readStatus(HELD, from);
  if (status === 'far') return { type, status, peers: readPeers(from) };
  const sequences = from.u8() === 0 ? undefined : readSequences(from);
  const descriptor = readDescriptor(from);
  return { type, status, sequences, descriptor, peers: readPeers(from) };
}

function readWatch(from: ByteReader): WatchAnswer {
  const type = 'watch';
  const status = readStatus(WATCH_STATUS, from);
  if (status === 'far') return { type, status, peers: readPeers(from) };
  if (status !== 'active') return { type, status, peers: readPeers(from) };
  const watch = readGivenHandle<WatchId>(from);
  return { type, status, watch, durationMs: from.varint(), peers: readPeers(from) };
}

function writeBegin(to: ByteWriter, answer: BeginAnswer): void {
  to.u8(BEGIN_STATUS[answer.status]);
  if (answer.status !== 'begun') return;
  writeHandle(to, answer.transaction);
  writeSequences(to.varint(answer.durationMs), answer.sequences);
  writeDescriptor(to, answer.descriptor);
}

function readBegin(from: ByteReader): BeginAnswer {
  const type = 'begin';
  const status = readStatus(BEGIN_STATUS, from);
  if (status === 'far') return { type, status, peers: readPeers(from) };
  if (status !== 'begun') return { type, status, peers: readPeers(from) };
  const transaction = readGivenHandle<TransactionId>(from);
  const durationMs = from.varint();
  const about = { sequences: readSequences(from), descriptor: readDescriptor(from) };
  return { type, status, transaction, durationMs, ...about, peers: readPeers(from) };
}

function readCommand(from: ByteReader): CommandAnswer {
  const status = readStatus(COMMAND_STATUS, from);
  if (status === 'gone') return { type: 'command', status };
  const durationMs = from.varint();
  if (status === 'done') return { type: 'command', status, durationMs, value: readValue(from) };
  return { type: 'command', status, durationMs, floor: readGivenSequence(from) };
}

function readStatus<Status extends string>(
  statuses: Readonly<Record<Status, number>>,
  from: ByteReader,
): Status {
  const code = from.u8();
  const status = typeOf(statuses, code);
  if (status === undefined) throw messageInvalid(`status=${code}`);
  return status;
}
