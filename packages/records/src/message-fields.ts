/**
 * The bytes of what messages are made of. Writers trust their input, readers nothing: every count and
 * length is checked against its bound before anything is made of it.
 */
import { type ByteReader, type ByteWriter, HoldfastError, RECORD_LIMITS } from '@holdfast/core';
import type { PeerId } from './coordinate.ts';
import { SIGNATURE_BYTES } from './ed25519.ts';
import { PUBLIC_KEY_BYTES, publicKeyBytes, publicKeyOf } from './key-pair.ts';
import type { MemberProof } from './member-proof.ts';
import type { PeerInfo, SequenceList } from './messages.ts';
import { decodeDescriptor, encodeDescriptor, type RecordDescriptor } from './record-descriptor.ts';
import { RECORD_ID_BYTES, type RecordId, recordIdBytes, recordIdFromBytes } from './record-key.ts';
import { isSequence, type Sequence } from './sequence.ts';
import { decodeSignedValue, encodeSignedValue, type SignedValue } from './signed-value.ts';
import { type SubkeyRange, SubkeySet } from './subkey-set.ts';

const HANDLE_BYTES = 8;
const NO_HANDLE = '0'.repeat(2 * HANDLE_BYTES);
const HIGHEST_SUBKEY = 0xffff_ffff;
const PRINTABLE = /^[\x21-\x7e]*$/;

export function messageInvalid(what: string): HoldfastError {
  return new HoldfastError('PEER_MESSAGE_INVALID', `a message makes no sense: ${what}`);
}

export function writeRecord(to: ByteWriter, record: RecordId): ByteWriter {
  return to.raw(recordIdBytes(record));
}

export function readRecord(from: ByteReader): RecordId {
  return recordIdFromBytes(from.raw(RECORD_ID_BYTES));
}

export function readSubkey(from: ByteReader): number {
  return bounded('subkey', from.varint(), RECORD_LIMITS.maxSubkeys - 1);
}

function bounded(what: string, value: number, limit: number): number {
  if (value > limit) throw messageInvalid(`${what} got=${value} limit=${limit}`);
  return value;
}

// -- one or none -------------------------------------------------------------------------------

export function writeValue(to: ByteWriter, value: SignedValue | undefined): void {
  to.bytes(value === undefined ? Buffer.of() : encodeSignedValue(value));
}

export function readValue(from: ByteReader): SignedValue | undefined {
  const bytes = from.bytes();
  return bytes.length === 0 ? undefined : decodeSignedValue(bytes);
}

export function readGivenValue(from: ByteReader): SignedValue {
  return given('value', readValue(from));
}

export function writeDescriptor(to: ByteWriter, descriptor: RecordDescriptor | undefined): void {
  to.bytes(descriptor === undefined ? Buffer.of() : encodeDescriptor(descriptor));
}

export function readDescriptor(from: ByteReader): RecordDescriptor | undefined {
  const bytes = from.bytes();
  return bytes.length === 0 ? undefined : decodeDescriptor(bytes);
}

export function writeProof(to: ByteWriter, proof: MemberProof | undefined): void {
  if (proof === undefined) to.bytes(Buffer.of());
  else to.bytes(Buffer.concat([publicKeyBytes(proof.member), proof.signature]));
}

export function readProof(from: ByteReader): MemberProof | undefined {
  const bytes = from.bytes();
  if (bytes.length === 0) return undefined;
  if (bytes.length !== PUBLIC_KEY_BYTES + SIGNATURE_BYTES) throw messageInvalid('proof');
  const copy = Buffer.from(bytes);
  const member = publicKeyOf(copy.subarray(0, PUBLIC_KEY_BYTES));
  return { member, signature: copy.subarray(PUBLIC_KEY_BYTES) };
}

/** Ids of watches and transactions. */
export function writeHandle(to: ByteWriter, handle: string | undefined): void {
  to.raw(Buffer.from(handle ?? NO_HANDLE, 'hex'));
}

export function readHandle<Handle extends string>(from: ByteReader): Handle | undefined {
  const handle = from.raw(HANDLE_BYTES).toString('hex');
  return handle === NO_HANDLE ? undefined : (handle as Handle);
}

export function readGivenHandle<Handle extends string>(from: ByteReader): Handle {
  return given('id', readHandle<Handle>(from));
}

/** A number, or that there is none: 0 for none, else one more than the number. */
export function writeCount(to: ByteWriter, count: number | undefined): void {
  to.varint(count === undefined ? 0 : count + 1);
}

export function readCount(from: ByteReader): number | undefined {
  const value = from.varint();
  return value === 0 ? undefined : value - 1;
}

export function writeSequence(to: ByteWriter, sequence: Sequence | undefined): void {
  writeCount(to, sequence);
}

function readSequence(from: ByteReader): Sequence | undefined {
  const value = readCount(from);
  if (value !== undefined && !isSequence(value)) throw messageInvalid('sequence number');
  return value;
}

export function readGivenSequence(from: ByteReader): Sequence {
  return given('sequence number', readSequence(from));
}

// -- many --------------------------------------------------------------------------------------

export function writeSequences(to: ByteWriter, sequences: SequenceList): void {
  to.varint(sequences.length);
  for (const sequence of sequences) writeSequence(to, sequence);
}

export function readSequences(from: ByteReader): SequenceList {
  const count = bounded('sequence numbers', from.varint(), RECORD_LIMITS.maxSubkeys);
  return readMany(count, () => readSequence(from));
}

/**
 * For each range what lies between it and the one before (at least one subkey, which is not counted),
 * and how many follow its first. No bytes stand for ranges that touch, overlap or fall.
 */
export function writeSubkeys(to: ByteWriter, subkeys: SubkeySet): void {
  const { ranges } = subkeys;
  if (ranges.length > RECORD_LIMITS.maxSubkeyRanges) {
    throw new TypeError(`a message holds ${RECORD_LIMITS.maxSubkeyRanges} ranges of subkeys`);
  }
  to.varint(ranges.length);
  let next = 0;
  for (const { first, last } of ranges) {
    to.varint(first - next).varint(last - first);
    next = last + 2;
  }
}

export function readSubkeys(from: ByteReader): SubkeySet {
  const count = bounded('ranges of subkeys', from.varint(), RECORD_LIMITS.maxSubkeyRanges);
  let next = 0;
  const ranges = readMany(count, (): SubkeyRange => {
    const first = next + from.varint();
    const last = bounded('subkey', first + from.varint(), HIGHEST_SUBKEY);
    next = last + 2;
    return { first, last };
  });
  return SubkeySet.fromRanges(ranges);
}

/** No more than a message may hold: what is too much of addresses is left out. */
export function writePeers(to: ByteWriter, peers: readonly PeerInfo[]): void {
  const named = peers.slice(0, RECORD_LIMITS.maxPeersInAnswer);
  to.varint(named.length);
  for (const { id, addresses } of named) {
    const short = addresses
      .filter((address) => address.length <= RECORD_LIMITS.maxPeerAddressBytes)
      .slice(0, RECORD_LIMITS.maxPeerAddresses);
    to.string(id).varint(short.length);
    for (const address of short) to.string(address);
  }
}

/** Each once. */
export function readPeers(from: ByteReader): readonly PeerInfo[] {
  const count = bounded('peers', from.varint(), RECORD_LIMITS.maxPeersInAnswer);
  const peers = readMany(count, (): PeerInfo => {
    const id = readText('id of a peer', from, RECORD_LIMITS.maxPeerIdBytes) as PeerId;
    const held = bounded('addresses', from.varint(), RECORD_LIMITS.maxPeerAddresses);
    const addresses = readMany(held, () =>
      readText('address', from, RECORD_LIMITS.maxPeerAddressBytes),
    );
    return { id, addresses };
  });
  if (new Set(peers.map(({ id }) => id)).size !== peers.length) {
    throw messageInvalid('a peer is named twice');
  }
  return peers;
}

function readMany<Item>(count: number, read: () => Item): Item[] {
  const items: Item[] = [];
  for (let i = 0; i < count; i++) items.push(read());
  return items;
}

/** Printable ASCII: what goes into logs, keys and hashes is what was sent. */
function readText(what: string, from: ByteReader, limit: number): string {
  const bytes = from.bytes();
  bounded(`length of an ${what}`, bytes.length, limit);
  const text = bytes.toString('latin1');
  if (text === '' || !PRINTABLE.test(text)) throw messageInvalid(`text of an ${what}`);
  return text;
}

function given<Value>(what: string, value: Value | undefined): Value {
  if (value === undefined) throw messageInvalid(`no ${what}`);
  return value;
}
