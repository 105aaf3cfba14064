/** All commands, in the order of the help. */
import type { Command } from './command.ts';
import { keyGenerate } from './key/generate.ts';
import { keyRetire } from './key/retire.ts';
import { keyRotate } from './key/rotate.ts';
import { keyStatus } from './key/status.ts';
import { kvBatch } from './kv/batch.ts';
import { kvClear } from './kv/clear.ts';
import { kvGet } from './kv/get.ts';
import { kvList } from './kv/list.ts';
import { kvPut } from './kv/put.ts';
import { kvRemove } from './kv/remove.ts';
import { kvStores } from './kv/stores.ts';
import { kvWatch } from './kv/watch.ts';
import { mark } from './mark.ts';
import { rebalance } from './rebalance.ts';
import { restore } from './restore.ts';
import { serve } from './serve.ts';
import { snapshotCreate } from './snapshot/create.ts';
import { snapshotDrill } from './snapshot/drill.ts';
import { snapshotInfo } from './snapshot/info.ts';
import { snapshotList } from './snapshot/list.ts';
import { snapshotPrune } from './snapshot/prune.ts';
import { snapshotRemove } from './snapshot/remove.ts';
import { snapshotStatus } from './snapshot/status.ts';
import { snapshotVerify } from './snapshot/verify.ts';
import { streamAppend } from './stream/append.ts';
import { streamClose } from './stream/close.ts';
import { streamCreate } from './stream/create.ts';
import { streamFork } from './stream/fork.ts';
import { streamInfo } from './stream/info.ts';
import { streamList } from './stream/list.ts';
import { streamRead } from './stream/read.ts';
import { streamRemove } from './stream/remove.ts';
import { streamTail } from './stream/tail.ts';
import { subscriptionList } from './subscription/list.ts';
import { subscriptionRemove } from './subscription/remove.ts';
import { subscriptionShow } from './subscription/show.ts';
import { tierDrain } from './tier/drain.ts';
import { tierExport } from './tier/export.ts';
import { tierImport } from './tier/import.ts';
import { tierMigrate } from './tier/migrate.ts';
import { tierPromote } from './tier/promote.ts';
import { tierRepair } from './tier/repair.ts';
import { tierRestore } from './tier/restore.ts';
import { tierRewrap } from './tier/rewrap.ts';
import { tierStatus } from './tier/status.ts';
import { tierTakeOver } from './tier/take-over.ts';
import { tierVerify } from './tier/verify.ts';
import { verify } from './verify.ts';

export const COMMANDS: readonly Command[] = [
  serve,
  streamList,
  streamCreate,
  streamAppend,
  streamRead,
  streamTail,
  streamFork,
  streamClose,
  streamRemove,
  streamInfo,
  subscriptionList,
  subscriptionShow,
  subscriptionRemove,
  kvStores,
  kvList,
  kvGet,
  kvPut,
  kvRemove,
  kvBatch,
  kvClear,
  kvWatch,
  tierStatus,
  tierVerify,
  tierRepair,
  tierDrain,
  tierRestore,
  tierPromote,
  tierMigrate,
  tierTakeOver,
  tierRewrap,
  tierExport,
  tierImport,
  snapshotStatus,
  snapshotCreate,
  snapshotList,
  snapshotInfo,
  snapshotVerify,
  snapshotRemove,
  snapshotPrune,
  snapshotDrill,
  mark,
  restore,
  keyGenerate,
  keyStatus,
  keyRotate,
  keyRetire,
  verify,
  rebalance,
];
