/** Records and values to put into stores: cheap, and the same in every run. */
import { SeededRandom } from '@holdfast/testkit';
import {
  createDescriptor,
  createErasure,
  createValue,
  keyPairOfSeed,
  type KeyPair,
  type PeerId,
  sequence,
  type VerifiedDescriptor,
  type VerifiedValue,
  verifyValue,
} from '../../src/index.ts';

const SECRET = Buffer.alloc(32, 9);

export const peer = (name: string | number): PeerId => `peer-${name}` as PeerId;

const owners = new Map<number, KeyPair>();
const descriptors = new Map<string, VerifiedDescriptor>();

/** The `nth` record with so many subkeys. */
export function descriptorOf(nth: number, subkeys = 4): VerifiedDescriptor {
  const name = `${nth} ${subkeys}`;
  const made =
    descriptors.get(name) ?? createDescriptor({ type: 'default', subkeys }, ownerOf(nth));
  descriptors.set(name, made);
  return made;
}

function ownerOf(nth: number): KeyPair {
  const seed = Buffer.alloc(32, 7);
  seed.writeUInt32LE(nth + 1);
  const owner = owners.get(nth) ?? keyPairOfSeed(seed);
  owners.set(nth, owner);
  return owner;
}

/** Values of one number differ by `text`: the writer forked. */
export function valueOf(
  nth: number,
  subkey: number,
  number: number,
  text: string | Uint8Array = 'text',
  subkeys = 4,
): VerifiedValue {
  const descriptor = descriptorOf(nth, subkeys);
  const about = { record: descriptor.id, subkey, sequence: sequence(number), writer: ownerOf(nth) };
  const random = new SeededRandom(number * 31 + subkey);
  const value = createValue(about, SECRET, Buffer.from(text), random);
  return verifyValue(value, descriptor, subkey);
}

export function erasureOf(nth: number, subkey: number, number: number): VerifiedValue {
  const descriptor = descriptorOf(nth);
  const about = { record: descriptor.id, subkey, sequence: sequence(number), writer: ownerOf(nth) };
  return verifyValue(createErasure(about), descriptor, subkey);
}
