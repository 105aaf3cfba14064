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
import type { ObjectStore } from '@holdfast/objects';
import type { WebhookSender } from '@holdfast/streams';
import type { Compactor } from '@holdfast/tables';
import type { HoldProcess } from './node-keep-alive.ts';

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
  /** Where backups go, open; stays its owner's. Absent: what the settings say. */
  readonly objectStore?: ObjectStore;
  /** Keeps the process alive while the node waits. Absent: a timer; a simulation ends by itself. */
  readonly holdProcess?: HoldProcess;
  /** What variables of S3 credentials are looked up in. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

export function nodeComponents(): NodeComponents {
  return {
    fileSystem: new NodeFileSystem(),
    clock: new NodeClock(),
    random: new NodeRandom(),
    logger: SILENT,
    environment: process.env,
  };
}
