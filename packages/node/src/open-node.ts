/**
 * `openNode`: settings to a running node. The one place where a database, its engines and their
 * faces are put together.
 */
import { MemoryFileSystem, NodeFileSystem } from '@holdfast/core';
import { type DatabaseSettings, openDatabase } from '@holdfast/database';
import {
  type ClaimSettings,
  controlEndpoints,
  CrossOriginPolicy,
  createStreamEngine,
  createStreamProtocol,
  createSubscriptionEngine,
  type StreamProtocolSettings,
  type StreamSettings,
  type SubscriptionSettings,
} from '@holdfast/streams';
import { InlineCompactor, NodeCompactor } from '@holdfast/tables';
import { ClientTable } from './client-table.ts';
import { Health } from './health.ts';
import { HoldfastNode } from './holdfast-node.ts';
import { nodeComponents, type NodeComponents } from './node-components.ts';
import { holdProcess } from './node-keep-alive.ts';
import { NodeWebhookSender } from './node-webhook-sender.ts';
import { PublicUrl } from './public-url.ts';
import { RequestRouter } from './request-router.ts';
import { parseNodeSettings, type NodeSettings, type NodeSettingsInput } from './settings.ts';

/** Where a memory node keeps its files: any name will do. */
const MEMORY_DIR = '/memory';

/**
 * Sizes and times that no operator sets: simulations make them small, so that checkpoints, new
 * segments, merges and rotations happen within a few hundred requests.
 */
export interface NodeTuning {
  readonly database?: Partial<DatabaseSettings>;
  readonly streams?: Partial<StreamSettings>;
  readonly protocol?: Partial<StreamProtocolSettings>;
  readonly subscriptions?: Partial<SubscriptionSettings>;
}

/**
 * Opens the data directory (creating it when it is new), recovers what it holds, and resolves
 * once the node may be used. Nothing listens yet: see `listen`.
 *
 * @throws `INVALID_SETTINGS`, `DIRECTORY_LOCKED`, and the codes of damaged data.
 */
export async function openNode(
  input: NodeSettingsInput,
  given: Partial<NodeComponents> = {},
  tuning: NodeTuning = {},
): Promise<HoldfastNode> {
  const settings = parseNodeSettings(input);
  const components = componentsFor(settings, given);
  const { clock, random, logger } = components;
  const engine = createStreamEngine(
    { clock, random, logger },
    { ...streamSettings(settings), ...tuning.streams },
  );
  const publicUrl = new PublicUrl(settings.publicUrl);
  const endpoints = controlEndpoints(settings.basePath, () => publicUrl.current);
  const sender = components.webhookSender;
  const subscriptions = createSubscriptionEngine(
    { clock, random, logger, streams: engine, sender, endpoints },
    { maxWebhookAttempts: settings.maxWebhookAttempts, ...tuning.subscriptions },
  );
  const database = await openDatabase(
    components,
    { ...databaseSettings(settings), ...tuning.database },
    [engine, subscriptions],
  );
  const clients = new ClientTable(clock, settings);
  const protocol = createStreamProtocol(
    {
      store: engine,
      clock,
      random,
      logger,
      readerAdmission: clients,
      subscriptions: { store: subscriptions, claims: claimSettings(settings), endpoints },
    },
    { ...protocolSettings(settings), ...tuning.protocol },
  );
  const health = new Health(() => database.stats().integrity);
  const crossOrigin = new CrossOriginPolicy({ allowOrigin: settings.allowedOrigins });
  const router = new RequestRouter(
    { protocol, store: engine, health, crossOrigin, clock, logger },
    { basePath: settings.basePath },
  );
  return new HoldfastNode(
    {
      database,
      engine,
      subscriptions,
      publicUrl,
      store: engine,
      protocol,
      router,
      clients,
      health,
      clock,
      logger,
      holdProcess,
    },
    settings,
  );
}

/** Memory is a file system of its own: log, checkpoints and recovery run as on a disk. */
function componentsFor(
  settings: NodeSettings,
  given: Partial<NodeComponents>,
): Required<NodeComponents> {
  const real = nodeComponents();
  const clock = given.clock ?? real.clock;
  const fileSystem = settings.memory
    ? new MemoryFileSystem()
    : (given.fileSystem ?? real.fileSystem);
  // The thread of a NodeCompactor opens files itself, so it needs the real disk.
  const compactor =
    given.compactor ??
    (fileSystem instanceof NodeFileSystem
      ? new NodeCompactor()
      : new InlineCompactor({ fileSystem, clock }));
  const webhookSender =
    given.webhookSender ??
    new NodeWebhookSender({ clock }, { allowLoopback: settings.allowLoopbackWebhooks });
  return { ...real, ...given, clock, fileSystem, compactor, webhookSender };
}

function claimSettings({ openClaims, claimTokens }: NodeSettings): ClaimSettings {
  return { open: openClaims, tokens: claimTokens };
}

/** Memory does not rot, and a second copy in it would be the same memory twice. */
function databaseSettings(settings: NodeSettings): DatabaseSettings {
  const { dir = MEMORY_DIR, shardCount, memory, scrubIntervalMs } = settings;
  return {
    dir,
    ...(shardCount === undefined ? {} : { shardCount }),
    scrubIntervalMs: memory ? 0 : scrubIntervalMs,
  };
}

function streamSettings(settings: NodeSettings): Partial<StreamSettings> {
  const { maxStreams, maxProducersPerStream, maxStreamBytes, maxTotalBytes } = settings;
  return {
    maxStreams,
    maxProducersPerStream,
    ...(maxStreamBytes === undefined ? {} : { maxStreamBytes }),
    ...(maxTotalBytes === undefined ? {} : { maxTotalBytes }),
  };
}

function protocolSettings(settings: NodeSettings): Partial<StreamProtocolSettings> {
  return {
    basePath: settings.basePath,
    longPollTimeoutMs: settings.longPollTimeoutMs,
    maxChunkBytes: settings.maxChunkBytes,
    maxBodyBytes: settings.maxBodyBytes,
    maxCollectedBodyBytes: settings.maxCollectedBodyBytes,
    maxLiveReaders: settings.maxLiveReaders,
    maxUnsentBytes: settings.maxUnsentBytes,
    minReadBytesPerSecond: settings.minReadBytesPerSecond,
    cors: { allowOrigin: settings.allowedOrigins },
  };
}
