/** All commands, in the order of the help. */
import type { Command } from './command.ts';
import { rebalance } from './rebalance.ts';
import { serve } from './serve.ts';
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
  verify,
  rebalance,
];
