/**
 * The bytes of one message between peers (FORMAT.md, "Signed records"):
 *
 *   version u8 = 1 | kind u8 | id u32 | body
 *
 * Kind 0 is a question, 1 the answer with the id of its question, 2 a statement, whose id is 0. Numbers
 * are little-endian, varints are LEB128. The network frames messages; here one is one buffer.
 *
 * 1. Whatever the bytes are, `decodeMessage` gives a message that is in bounds, or
 *    `PEER_MESSAGE_INVALID`, and makes nothing larger than a multiple of them.
 * 2. What follows the fields that are known is ignored, and a question or statement of an unknown type
 *    is `undefined`, not an error: a newer peer is no liar. Such a question is answered `invalid`.
 * 3. What was decoded shares no memory with the bytes.
 */
import {
  ByteReader,
  ByteWriter,
  HoldfastError,
  isHoldfastError,
  RECORD_LIMITS,
} from '@holdfast/core';
import { readAnswer, writeAnswer } from './answer-codec.ts';
import { messageInvalid } from './message-fields.ts';
import type { Answer, InvalidAnswer, Question, Statement } from './messages.ts';
import { readQuestion, readStatement, writeQuestion, writeStatement } from './question-codec.ts';

export type Message =
  | { readonly kind: 'question'; readonly id: number; readonly question: Question | undefined }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answer | InvalidAnswer }
  | { readonly kind: 'statement'; readonly statement: Statement | undefined };

const VERSION = 1;
const KINDS = { question: 0, answer: 1, statement: 2 } as const;

export function encodeQuestion(id: number, question: Question): Buffer {
  const to = head('question', id);
  writeQuestion(to, question);
  return finished(to);
}

export function encodeAnswer(id: number, answer: Answer | InvalidAnswer): Buffer {
  const to = head('answer', id);
  writeAnswer(to, answer);
  return finished(to);
}

export function encodeStatement(statement: Statement): Buffer {
  const to = head('statement', 0);
  writeStatement(to, statement);
  return finished(to);
}

export function decodeMessage(bytes: Uint8Array): Message {
  if (bytes.length > RECORD_LIMITS.maxPeerMessageBytes) {
    throw messageInvalid(`length=${bytes.length}`);
  }
  try {
    return read(new ByteReader(bytes));
  } catch (cause) {
    if (!isHoldfastError(cause) || cause.code === 'PEER_MESSAGE_INVALID') throw cause;
    throw new HoldfastError('PEER_MESSAGE_INVALID', 'a message makes no sense', { cause });
  }
}

function read(from: ByteReader): Message {
  const version = from.u8();
  if (version !== VERSION) throw messageInvalid(`version=${version}`);
  const kind = from.u8();
  const id = from.u32();
  switch (kind) {
    case KINDS.question:
      return { kind: 'question', id, question: readQuestion(from) };
    case KINDS.answer:
      return { kind: 'answer', id, answer: readAnswer(from) };
    case KINDS.statement:
      return { kind: 'statement', statement: readStatement(from) };
    default:
      throw messageInvalid(`kind=${kind}`);
  }
}

function head(kind: keyof typeof KINDS, id: number): ByteWriter {
  return new ByteWriter().u8(VERSION).u8(KINDS[kind]).u32(id);
}

/** What a peer would refuse is a bug of this one. */
function finished(to: ByteWriter): Buffer {
  if (to.length > RECORD_LIMITS.maxPeerMessageBytes) {
    throw new TypeError(`a message is too large: ${to.length} bytes`);
  }
  return to.finish();
}
