/**
 * `openNode`: settings to a running node. The one place where a database, its engines and their
 * faces are put together.
 */
import { KeyRing, MemoryFileSystem, NodeFileSystem } from '@holdfast/core';
import {
  type Database,
  type DatabaseSettings,
  type Engine,
  openDatabase,
} from '@holdfast/database';
import {
  type ClaimSettings,
  controlEndpoints,
  type ControlEndpoints,
  CrossOriginPolicy,
  type StreamProtocolSettings,
  type StreamSettings,
} from '@holdfast/streams';
import { InlineCompactor, NodeCompactor } from '@holdfast/tables';
import { AdminRouter } from './admin/admin-router.ts';
import { Administration } from './administration.ts';
import { ClientTable } from './client-table.ts';
import { closeInOrder } from './close-in-order.ts';
import { Health } from './health.ts';
import { HoldfastNode } from './holdfast-node.ts';
import { HttpFaces } from './http-faces.ts';
import { HttpListener } from './http-listener.ts';
import { KeySource } from './key-source.ts';
import { nodeComponents, type NodeComponents } from './node-components.ts';
import { EmbeddedKv } from './kv/embedded-kv.ts';
import { holding, holdProcess } from './node-keep-alive.ts';
import { type EngineSettings, NodeEngines } from './node-engines.ts';
import { NodeWebhookSender } from './node-webhook-sender.ts';
import {
  databaseBackupSettings,
  drillParts,
  openBackup,
  type OpenedBackup,
} from './opened-backup.ts';
import { PublicUrl } from './public-url.ts';
import { RequestRouter } from './request-router.ts';
import { parseNodeSettings, type NodeSettings, type NodeSettingsInput } from './settings.ts';
import { EmbeddedTiers } from './tiers/embedded-tiers.ts';
import { openTiers } from './tiers/opened-tiers.ts';
import type { TieredStores } from './tiers/tiered-stores.ts';

/**
 * Rejects with what `listen` of this node would reject with now. To be asked before it is opened
 * with a backup: a copy that takes the backup over and then cannot serve has stopped who could.
 */
export async function assertListenable(input: NodeSettingsInput): Promise<void> {
  await HttpListener.assertFree(parseNodeSettings(input));
}

/** Where a memory node keeps its files: any name will do. */
const MEMORY_DIR = '/memory';

/**
 * Sizes and times that no operator sets: simulations make them small, so that checkpoints, new
 * segments, merges and rotations happen within a few hundred requests.
 */
export interface NodeTuning extends EngineSettings {
  readonly database?: Partial<DatabaseSettings>;
  readonly protocol?: Partial<StreamProtocolSettings>;
}

/**
 * Opens the data directory (creating it when it is new), recovers what it holds, and resolves
 * once the node may be used. Nothing listens yet: see `listen`.
 *
 * @throws `INVALID_SETTINGS`, `DIRECTORY_LOCKED`, those of keys and of a backup that another node
 * writes, and the codes of damaged data.
 */
export function openNode(
  input: NodeSettingsInput,
  given: Partial<NodeComponents> = {},
  tuning: NodeTuning = {},
): Promise<HoldfastNode> {
  return holding(() => open(input, given, tuning), given.holdProcess);
}

async function open(
  input: NodeSettingsInput,
  given: Partial<NodeComponents>,
  tuning: NodeTuning,
): Promise<HoldfastNode> {
  const settings = parseNodeSettings(input);
  const keySource = KeySource.from({ ...settings, key: input.key });
  const keyObjects = await keySource?.load(); // before anything is there to be given back
  const components = componentsFor(settings, given);
  const { clock, random, logger } = components;
  const keys = keyObjects === undefined ? undefined : new KeyRing(keyObjects, random);
  const hold = given.holdProcess ?? holdProcess;
  const publicUrl = new PublicUrl(settings.publicUrl);
  const endpoints = controlEndpoints(settings.basePath, () => publicUrl.current);
  const engines = createEngines(components, settings, tuning, endpoints);
  const backup = await openBackup(settings, input, components);
  const database = await openStorage(components, { settings, tuning, keys, backup }, engines.all);
  const closing = [() => engines.close(), () => database.close(), () => backup?.release()];
  try {
    const places = { ...components, keys, database, engine: engines.kv };
    const tiered = await openTiers(input, settings, places);
    closing.unshift(() => tiered.close());
    const tiers = new EmbeddedTiers(tiered, settings, hold);
    const clients = new ClientTable(clock, settings);
    const kv = new EmbeddedKv(tiered, tiers, hold);
    const claims = claimSettings(settings);
    const subscriptions = { store: engines.subscriptions, endpoints, claims };
    const faces = new HttpFaces(
      { ...components, store: engines.streams, subscriptions, kv, readerAdmission: clients },
      { ...protocolSettings(settings), ...tuning.protocol },
    );
    const drills = backup && drillParts(backup, settings, components, keys);
    const administration = new Administration(
      {
        ...{ database, clock, logger, keySource, keys, tiers },
        backup: backup && drills && { place: backup.place, drills },
      },
      settings,
    );
    const health = healthOf(database, administration, tiered);
    const crossOrigin = new CrossOriginPolicy({ allowOrigin: settings.allowedOrigins });
    const admin = new AdminRouter(administration, { clock });
    const router = new RequestRouter(
      {
        ...{ protocol: faces.streams, kv: faces.kv, admin, store: engines.streams },
        ...{ health, crossOrigin, clock, logger },
      },
      settings,
    );
    const node = new HoldfastNode(
      {
        ...{ database, engines, publicUrl, protocol: faces, router, administration, clients },
        ...{ health, clock, logger, kv },
        holdProcess: hold,
        release: async () => backup?.release(),
      },
      settings,
    );
    administration.start();
    return node;
  } catch (error) {
    // Why it could not be opened is what is told, whatever closing comes to.
    await closeInOrder(closing).catch(() => undefined);
    throw error;
  }
}

function healthOf(
  database: Database,
  administration: Administration,
  tiered: TieredStores,
): Health {
  return new Health({
    integrity: () => database.stats().integrity,
    backup: () => administration.health(),
    tiers: () => tiered.health(),
  });
}

function createEngines(
  { clock, random, logger, webhookSender: sender }: NodeParts,
  settings: NodeSettings,
  tuning: NodeTuning,
  endpoints: ControlEndpoints,
): NodeEngines {
  const { maxWebhookAttempts } = settings;
  return new NodeEngines(
    { clock, random, logger, sender, endpoints },
    {
      streams: { ...streamSettings(settings), ...tuning.streams },
      subscriptions: { maxWebhookAttempts, ...tuning.subscriptions },
      ...(tuning.kv === undefined ? {} : { kv: tuning.kv }),
    },
  );
}

interface StorageChoice {
  readonly settings: NodeSettings;
  readonly tuning: NodeTuning;
  readonly keys: KeyRing | undefined;
  readonly backup: OpenedBackup | undefined;
}

/** Whatever stops it, the object store is given back. */
async function openStorage(
  components: NodeComponents,
  { settings, tuning, keys, backup }: StorageChoice,
  engines: readonly Engine[],
): Promise<Database> {
  try {
    return await openDatabase(
      {
        ...components,
        ...(keys === undefined ? {} : { keys }),
        ...(backup === undefined ? {} : { objects: backup.objects }),
      },
      {
        ...databaseSettings(settings),
        backup: databaseBackupSettings(settings),
        ...tuning.database,
      },
      engines,
    );
  } catch (error) {
    await backup?.release();
    throw error;
  }
}

type NodeParts = NodeComponents & Required<Pick<NodeComponents, 'compactor' | 'webhookSender'>>;

/** Memory is a file system of its own: log, checkpoints and recovery run as on a disk. */
function componentsFor(settings: NodeSettings, given: Partial<NodeComponents>): NodeParts {
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
