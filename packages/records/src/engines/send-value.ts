/** Gives one peer a value, with its descriptor if the peer has to be told. */
import { HoldfastError } from '@holdfast/core';
import type { PeerId } from '../coordinate.ts';
import type { SetAnswer } from '../messages.ts';
import type { VerifiedDescriptor } from '../record-descriptor.ts';
import type { VerifiedValue } from '../signed-value.ts';
import type { RecordNetwork } from './record-network.ts';

export interface ValueToSend {
  readonly descriptor: VerifiedDescriptor;
  readonly value: VerifiedValue;
}

export type SentAnswer = SetAnswer & {
  readonly status: Exclude<SetAnswer['status'], 'descriptor-wanted'>;
};

export async function sendValue(
  { peers, descriptors }: RecordNetwork,
  peer: PeerId,
  { descriptor, value }: ValueToSend,
  signal: AbortSignal,
): Promise<SentAnswer> {
  const { id: record } = descriptor;
  const ask = (withDescriptor: boolean): Promise<SetAnswer> =>
    peers.ask(
      peer,
      {
        type: 'set',
        record,
        subkey: value.subkey,
        value,
        descriptor: withDescriptor ? descriptor : undefined,
      },
      { signal },
    );
  const isKnown = descriptors.has(record, peer);
  let answer = await ask(!isKnown);
  if (isKnown && isWanted(answer)) {
    descriptors.delete(record, peer);
    answer = await ask(true);
  }
  if (isWanted(answer)) {
    throw new HoldfastError('PEER_MESSAGE_INVALID', `a peer wants what it was given peer=${peer}`);
  }
  if (answer.status === 'stored' || answer.status === 'superseded') descriptors.add(record, peer);
  return answer as SentAnswer;
}

function isWanted({ status }: SetAnswer): boolean {
  return status === 'descriptor-wanted';
}
