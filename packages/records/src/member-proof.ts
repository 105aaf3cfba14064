/**
 * Shows a peer that the one who asks is a member, or the owner: the network proves a peer's id, this
 * ties a key of the schema to it. It is for one record, one asking peer and one answering peer, so
 * whoever gets one cannot show it elsewhere.
 */
import { HoldfastError } from '@holdfast/core';
import type { PeerId } from './coordinate.ts';
import { signWith, verifyWith } from './ed25519.ts';
import { type KeyPair, type PublicKey, publicKeyBytes } from './key-pair.ts';
import { type RecordId, recordIdBytes } from './record-key.ts';

export interface MemberProof {
  readonly member: PublicKey;
  readonly signature: Buffer;
}

export interface ProofScope {
  readonly record: RecordId;
  readonly asking: PeerId;
  readonly answering: PeerId;
}

export function createProof(scope: ProofScope, member: KeyPair): MemberProof {
  const { publicKey, seed } = member;
  return { member: publicKey, signature: signWith(seed, 'proof', ...parts(scope, publicKey)) };
}

/** The key that was proved. Whether it is one of the record, its schema tells. */
export function verifyProof(proof: MemberProof, scope: ProofScope): PublicKey {
  if (!verifyWith(proof.member, proof.signature, 'proof', ...parts(scope, proof.member))) {
    throw new HoldfastError('SIGNATURE_REJECTED', 'the proof of a member is not for this call');
  }
  return proof.member;
}

function parts({ record, asking, answering }: ProofScope, member: PublicKey): Buffer[] {
  return [recordIdBytes(record), publicKeyBytes(member), withLength(asking), withLength(answering)];
}

/** Ids differ in length: without it two pairs could make the same bytes. */
function withLength(id: PeerId): Buffer {
  const text = Buffer.from(id, 'utf8');
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text]);
}
