/** Puts beside each other what is here of a record and what its peers say (`records.ts`, 9). */
import { HoldfastError } from '@holdfast/core';
import type { RecordId } from '../record-key.ts';
import type { RecordHead, RecordStore } from '../record-store.ts';
import type { InspectOptions, InspectReport, InspectScope, SubkeyState } from '../records.ts';
import { subkeyCount } from '../schema.ts';
import { compareSequences, LAST_SEQUENCE, nextSequence, type Sequence } from '../sequence.ts';
import { ALL_SUBKEYS, type SubkeySet } from '../subkey-set.ts';
import type { PendingWrites } from './pending-writes.ts';
import type { RecordNetwork } from './record-network.ts';
import { surveyRecord } from './survey-record.ts';

export interface InspectComponents {
  readonly network: RecordNetwork;
  readonly local: RecordStore;
  readonly pending: PendingWrites;
}

export async function inspectRecord(
  components: InspectComponents,
  record: RecordId,
  options: InspectOptions,
): Promise<InspectReport> {
  const { scope = 'local' } = options;
  const head = await components.local.peek(record);
  if (head === undefined) {
    throw new HoldfastError('RECORD_NOT_FOUND', `the record is not here record=${record}`);
  }
  const wanted = options.subkeys === undefined || options.subkeys.isEmpty;
  const subkeys = (wanted ? ALL_SUBKEYS : (options.subkeys as SubkeySet)).within(
    subkeyCount(head.descriptor.schema),
  );
  const pending = components.pending.of(record).intersection(subkeys);
  if (scope === 'local') {
    const states = [...subkeys].map((subkey) => ({
      subkey,
      local: head.subkeys[subkey]?.sequence,
      network: undefined,
      peers: 0,
    }));
    return { subkeys, pending, states, agreed: false, degraded: false };
  }
  return { subkeys, pending, ...(await inNetwork(components, head, subkeys, scope, options)) };
}

async function inNetwork(
  { network }: InspectComponents,
  { descriptor, subkeys: local }: RecordHead,
  subkeys: SubkeySet,
  scope: Exclude<InspectScope, 'local'>,
  { signal }: InspectOptions,
): Promise<Pick<InspectReport, 'states' | 'agreed' | 'degraded'>> {
  const isSet = scope === 'set' || scope === 'update-set';
  const count = isSet ? network.counts.set : network.counts.get;
  const wanted = { record: descriptor.id, subkeys, descriptor, count };
  const survey = await surveyRecord(network, wanted, signal);
  if (survey.outcome.answered === 0) {
    throw new HoldfastError('PEERS_UNAVAILABLE', 'no peer near the record answered');
  }
  const states = survey.subkeys.map(({ subkey, sequence, peers }): SubkeyState => {
    const here = local[subkey]?.sequence;
    return { subkey, local: here, network: asOf(scope, here, sequence), peers };
  });
  return { states, agreed: survey.agreed, degraded: survey.degraded };
}

/** With `update` what is here counts, too; a set would come after it. */
function asOf(
  scope: InspectScope,
  here: Sequence | undefined,
  there: Sequence | undefined,
): Sequence | undefined {
  if (scope !== 'update-get' && scope !== 'update-set') return there;
  const isLast = here === LAST_SEQUENCE;
  const mine = scope === 'update-set' && !isLast ? nextSequence(here) : here;
  return compareSequences(mine, there) > 0 ? mine : there;
}
