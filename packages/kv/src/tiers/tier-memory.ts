/**
 * What the local store of a tiered store knows before it is opened, for whoever chooses its stores:
 * which are its parts, and under which epoch their writes have to be carried on.
 */
import type { KvStore } from '../kv-store.ts';
import { readTierState, stateOperation } from './tier-state.ts';

export interface TierMemory {
  /** 0: nothing was ever written here. */
  readonly epoch: number;
  /** Id of the store that is the primary: of settings, or of a promotion or migration. */
  readonly primaryId: string;
  readonly backupId: string | undefined;
  readonly behind: boolean;
}

export async function readTierMemory(local: KvStore): Promise<TierMemory> {
  const { epoch, primaryId, backupId, behind } = await readTierState(local);
  return { epoch, primaryId, backupId, behind };
}

export interface TakeOverChoice {
  /** Which store is the primary from now on. */
  readonly primaryId?: string;
  /** What the primary got, the backup may not have. */
  readonly behind?: boolean;
}

/**
 * The next opening takes the tiers over, whoever wrote them last, and only that one: durable once it
 * resolves. For stores that are closed.
 */
export async function takeOverNext(local: KvStore, choice: TakeOverChoice = {}): Promise<void> {
  const state = await readTierState(local);
  const behind = state.behind || choice.behind === true;
  const primaryId = choice.primaryId ?? state.primaryId;
  await local.batch([stateOperation({ ...state, primaryId, behind, claiming: true })]);
}
