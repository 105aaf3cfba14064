/** The real clock, chance and disk, for nodes that are not under simulation. */
import {
  NodeClock,
  NodeFileSystem,
  NodeRandom,
  SILENT,
  type Clock,
  type FileSystem,
  type Logger,
  type Random,
} from '@holdfast/core';
import type { WebhookSender } from '@holdfast/streams';
import type { Compactor } from '@holdfast/tables';

/** Things with behaviour that a node stands on. */
export interface NodeComponents {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Absent: a thread of its own for a node on the real disk, this thread otherwise. */
  readonly compactor?: Compactor;
  /** Absent: real sockets, to the addresses that the settings allow. */
  readonly webhookSender?: WebhookSender;
}

export function nodeComponents(): NodeComponents {
  return {
    fileSystem: new NodeFileSystem(),
    clock: new NodeClock(),
    random: new NodeRandom(),
    logger: SILENT,
  };
}
