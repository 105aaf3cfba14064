/**
 * Moves entries to where other rules place them. Needs not know the old rules: whatever lies in the
 * wrong tier is moved. The id of the new rules is written last, so that a move cut short is begun
 * again; every step may be done twice.
 *
 * Invariants
 * 1. An entry is where it goes before it leaves where it was. Of two copies the higher version stays.
 */
import type { KvEntry } from '../kv-store.ts';
import { isReserved } from './reserved-keys.ts';
import type { TierOperation } from './tier-operation.ts';
import type { TierRules } from './tier-rules.ts';
import type { TierWriter } from './tier-writer.ts';

const MOVED_TOGETHER = 64;

export interface MoveParts {
  readonly rules: TierRules;
  readonly primary: TierWriter;
  readonly backup: TierWriter | undefined;
  readonly ephemeral: TierWriter;
}

export async function moveByRules(parts: MoveParts): Promise<number> {
  const { rules, primary, backup, ephemeral } = parts;
  const durable = [primary, ...(backup === undefined ? [] : [backup])];
  const out = await move(primary, [ephemeral], durable, ({ key }) => rules.isEphemeral(key));
  // Others may have entries in there: those carry no epoch.
  const isMisplaced = ({ key, epoch }: KvEntry): boolean => epoch > 0 && !rules.isEphemeral(key);
  const back = await move(ephemeral, durable, [ephemeral], isMisplaced);
  return out + back;
}

async function move(
  from: TierWriter,
  to: readonly TierWriter[],
  leave: readonly TierWriter[],
  isWrong: (entry: KvEntry) => boolean,
): Promise<number> {
  let moved = 0;
  let chunk: KvEntry[] = [];
  let bytes = 0;
  const most = Math.min(...to.map(({ tier }) => tier.store.capabilities.maxBatchBytes)) / 2;
  const go = async (): Promise<void> => {
    const operations = chunk.map((entry): TierOperation => ({
      number: entry.version,
      key: entry.key,
      ephemeral: false,
      entry,
    }));
    for (const writer of to) await writer.bringUnlessNewer(operations); // I1
    const gone = operations.map((each) => ({ ...each, entry: undefined }));
    for (const writer of leave) await writer.replace(gone);
    moved += chunk.length;
    chunk = [];
    bytes = 0;
  };
  for await (const entry of from.tier.store.entries()) {
    if (isReserved(entry.key) || !isWrong(entry)) continue;
    const size = entry.key.length * 3 + entry.value.length;
    if (chunk.length > 0 && bytes + size > most) await go();
    chunk.push(entry);
    bytes += size;
    if (chunk.length >= MOVED_TOGETHER) await go();
  }
  if (chunk.length > 0) await go();
  return moved;
}
