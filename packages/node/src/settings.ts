/**
 * Settings of a node: plain data, checked once, frozen. Where a value comes from (flag,
 * environment, default) is the business of whoever calls `parseNodeSettings`.
 */
import { closestName, HoldfastError, LIMITS } from '@holdfast/core';
import { ADMIN_PATH } from './admin/admin-router.ts';
import { isKvTarget, KV_PATH } from './kv/http/kv-target.ts';
import {
  BACKUP_RULES,
  type BackupSettings,
  checkBackupSettings,
  type NodeSecrets,
} from './backup-settings.ts';
import { KeySource } from './key-source.ts';
import { parseTiers } from './tiers/tier-settings.ts';

export interface NodeSettings extends BackupSettings {
  /** Data directory; absent with `memory`. */
  readonly dir: string | undefined;
  /** Keep everything in memory: nothing survives the process. */
  readonly memory: boolean;
  /** Address to listen on. Anything but loopback needs `insecure`. */
  readonly host: string;
  /** TCP port; 0 picks a free one. */
  readonly port: number;
  /** Where streams live in the URL; starts and ends with a slash. */
  readonly basePath: string;
  /** Listen on public addresses although nothing checks who calls. */
  readonly insecure: boolean;
  /** `Host` names to accept. Empty: loopback names on loopback, every name elsewhere. */
  readonly allowedHosts: readonly string[];
  /** Origins of web pages that may call; `*` is all. Empty: pages served from loopback. */
  readonly allowedOrigins: readonly string[];
  /** Lower: more requests from idle readers. Higher: proxies may cut first. */
  readonly longPollTimeoutMs: number;
  /** Lower: more requests for a catch-up. Higher: more memory per reader. */
  readonly maxChunkBytes: number;
  /** Lower: large appends are refused. Higher: more memory per writer. */
  readonly maxBodyBytes: number;
  /** Bodies of all requests that are not whole yet. Lower: 503 sooner. Higher: more memory. */
  readonly maxCollectedBodyBytes: number;
  /** Long-polls and SSE connections. Lower: 503 sooner. Higher: more memory. */
  readonly maxLiveReaders: number;
  /** Memory of responses that clients are slow to take. Lower: they are dropped sooner. */
  readonly maxUnsentBytes: number;
  /** What a reader has to take while something is there. Lower: dead readers stay longer. */
  readonly minReadBytesPerSecond: number;
  /** What has to come of a body. Lower: trickles hold their place longer. */
  readonly minBodyBytesPerSecond: number;
  /** Connections of one remote address (IPv6: /64); not of loopback. Lower: 429 sooner. */
  readonly maxConnectionsPerClient: number;
  /** Its requests under way. Lower: 429 sooner. */
  readonly maxRequestsPerClient: number;
  /** Its long-polls and SSE connections. Lower: 429 sooner. */
  readonly maxLiveReadersPerClient: number;
  /** Its requests a second; 0 is no bound. Lower: 429 sooner. */
  readonly requestsPerSecondPerClient: number;
  /** Bytes it may send a second, heads and bodies; 0 is no bound. Lower: 429 sooner. */
  readonly receivedBytesPerSecondPerClient: number;
  /** Lower: 413 for new streams sooner. Higher: more memory (about 1 KiB each). */
  readonly maxStreams: number;
  /** Producers remembered per stream. Lower: 413 for new ones sooner. Higher: more memory. */
  readonly maxProducersPerStream: number;
  /** Data of one stream, without what it inherits; appends beyond get 413. Absent: no bound. */
  readonly maxStreamBytes: number | undefined;
  /** Data of all streams; appends beyond get 413. Absent: no bound but the disk. */
  readonly maxTotalBytes: number | undefined;
  /**
   * What clients put before `basePath` to reach this node, such as `https://streams.example`: it
   * goes to the receivers of webhooks. Absent: the listener's own URL, if that is on loopback.
   */
  readonly publicUrl: string | undefined;
  /** Tokens with which workers may claim the work of a pull-wake subscription. */
  readonly claimTokens: readonly string[];
  /** Everybody who can connect may claim. */
  readonly openClaims: boolean;
  /** Webhooks may go to this machine, by http too. For development. */
  readonly allowLoopbackWebhooks: boolean;
  /** Failed deliveries in a row until work goes to the dead letters. Higher: it is tried longer. */
  readonly maxWebhookAttempts: number;
  /** Lower: slow requests are cut at shutdown. Higher: shutdown may take as long. */
  readonly drainTimeoutMs: number;
  /**
   * Between two passes of the scrub. Lower: rot is found sooner, more reading. 0: none, and no
   * second copies of tables; for disks that are checked elsewhere.
   */
  readonly scrubIntervalMs: number;
  /** Shards of a new database; an existing one keeps its own. Absent: the default. */
  readonly shardCount: number | undefined;
  /** File with the keys that everything at rest is encrypted with. Absent: see `keyCommand`. */
  readonly keyFile: string | undefined;
  /** Program that prints them. Absent, as `keyFile` and `key`: nothing is encrypted. */
  readonly keyCommand: string | undefined;
}

/** Secrets are given with the settings, and kept out of them: `NodeSettings` may be shown. */
export type NodeSettingsInput = {
  readonly [Key in keyof (NodeSettings & NodeSecrets)]?:
    (NodeSettings & NodeSecrets)[Key] | undefined;
};

export type SettingKind = 'text' | 'flag' | 'integer' | 'list';

export interface SettingRule {
  readonly kind: SettingKind;
  readonly fallback: string | boolean | number | readonly string[] | undefined;
  readonly minimum?: number;
  readonly maximum?: number;
}

const RULES: Record<keyof NodeSettings, SettingRule> = {
  dir: { kind: 'text', fallback: undefined },
  memory: { kind: 'flag', fallback: false },
  host: { kind: 'text', fallback: '127.0.0.1' },
  port: { kind: 'integer', fallback: 4437, minimum: 0, maximum: 65_535 },
  basePath: { kind: 'text', fallback: '/v1/stream/' },
  insecure: { kind: 'flag', fallback: false },
  allowedHosts: { kind: 'list', fallback: [] },
  allowedOrigins: { kind: 'list', fallback: [] },
  longPollTimeoutMs: {
    kind: 'integer',
    fallback: LIMITS.longPollTimeoutMs,
    minimum: 1,
    maximum: 600_000,
  },
  maxChunkBytes: {
    kind: 'integer',
    fallback: LIMITS.maxChunkBytes,
    minimum: 1,
    maximum: 256 * 1024 * 1024,
  },
  maxBodyBytes: {
    kind: 'integer',
    fallback: LIMITS.maxBodyBytes,
    minimum: 1,
    // One append is one log record; its other fields need a little room too.
    maximum: LIMITS.maxRecordBytes - 64 * 1024,
  },
  maxCollectedBodyBytes: {
    kind: 'integer',
    fallback: LIMITS.maxCollectedBodyBytes,
    minimum: 1,
  },
  maxLiveReaders: {
    kind: 'integer',
    fallback: LIMITS.maxLiveReaders,
    minimum: 0,
    // The rest of the connections is for everybody else.
    maximum: LIMITS.maxConnections - 1,
  },
  maxUnsentBytes: { kind: 'integer', fallback: LIMITS.maxUnsentBytes, minimum: 1 },
  minReadBytesPerSecond: { kind: 'integer', fallback: LIMITS.minReadBytesPerSecond },
  minBodyBytesPerSecond: { kind: 'integer', fallback: LIMITS.minBodyBytesPerSecond },
  maxConnectionsPerClient: {
    kind: 'integer',
    fallback: LIMITS.maxConnectionsPerClient,
    minimum: 1,
  },
  maxRequestsPerClient: { kind: 'integer', fallback: LIMITS.maxRequestsPerClient, minimum: 1 },
  maxLiveReadersPerClient: { kind: 'integer', fallback: LIMITS.maxLiveReadersPerClient },
  requestsPerSecondPerClient: { kind: 'integer', fallback: 0 },
  receivedBytesPerSecondPerClient: { kind: 'integer', fallback: 0 },
  maxStreams: { kind: 'integer', fallback: LIMITS.maxStreams, minimum: 1 },
  maxProducersPerStream: {
    kind: 'integer',
    fallback: LIMITS.maxProducersPerStream,
    minimum: 0,
  },
  maxStreamBytes: { kind: 'integer', fallback: undefined, minimum: 1 },
  maxTotalBytes: { kind: 'integer', fallback: undefined, minimum: 1 },
  publicUrl: { kind: 'text', fallback: undefined },
  claimTokens: { kind: 'list', fallback: [] },
  openClaims: { kind: 'flag', fallback: false },
  allowLoopbackWebhooks: { kind: 'flag', fallback: false },
  maxWebhookAttempts: {
    kind: 'integer',
    fallback: LIMITS.maxWebhookAttempts,
    minimum: 1,
    maximum: 1_000,
  },
  drainTimeoutMs: {
    kind: 'integer',
    fallback: LIMITS.drainTimeoutMs,
    minimum: 0,
    maximum: 600_000,
  },
  scrubIntervalMs: {
    kind: 'integer',
    fallback: LIMITS.scrubIntervalMs,
    minimum: 0,
    // The timers of the platform.
    maximum: 2 ** 31 - 1,
  },
  shardCount: { kind: 'integer', fallback: undefined, minimum: 1, maximum: LIMITS.maxShardCount },
  keyFile: { kind: 'text', fallback: undefined },
  keyCommand: { kind: 'text', fallback: undefined },
  ...BACKUP_RULES,
};
/** No rules: they are checked by those who use them, and never become part of the settings. */
const SECRETS: readonly (keyof NodeSecrets)[] = ['key', 'backupCredentials', 'tiers'];

/** What each setting is made of, for those who read it from text. */
export const SETTING_KINDS: Readonly<Record<keyof NodeSettings, SettingKind>> = Object.freeze(
  Object.fromEntries(Object.entries(RULES).map(([key, rule]) => [key, rule.kind])),
) as Record<keyof NodeSettings, SettingKind>;

/** @throws `INVALID_SETTINGS`, naming the setting and what would be right. */
export function parseNodeSettings(input: NodeSettingsInput): NodeSettings {
  for (const key of Object.keys(input)) {
    if (!Object.hasOwn(RULES, key) && !SECRETS.includes(key as keyof NodeSecrets)) {
      const near = closestName(key, [...Object.keys(RULES), ...SECRETS]);
      throw invalid(`unknown setting${near === undefined ? '' : `, did you mean ${near}?`}`, key);
    }
  }
  const settings: Record<string, unknown> = {};
  for (const [key, rule] of Object.entries(RULES)) {
    const given = input[key as keyof NodeSettings];
    settings[key] = given === undefined ? rule.fallback : checked(key, rule, given);
  }
  const parsed = settings as unknown as NodeSettings;
  checkTogether(parsed);
  KeySource.from({ ...parsed, key: input.key });
  checkBackupSettings(parsed);
  parseTiers(input.tiers, parsed);
  return Object.freeze(parsed);
}

function checked(key: string, rule: SettingRule, value: unknown): unknown {
  switch (rule.kind) {
    case 'text':
      if (typeof value !== 'string' || value === '') throw invalid('must be a text', key);
      if (value.includes('\0')) throw invalid('must not contain a zero byte', key);
      return value;
    case 'flag':
      if (typeof value !== 'boolean') throw invalid('must be true or false', key);
      return value;
    case 'integer': {
      const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER } = rule;
      if (!Number.isInteger(value) || (value as number) < minimum || (value as number) > maximum) {
        throw invalid(`must be a whole number from ${minimum} to ${maximum}`, key);
      }
      return value;
    }
    case 'list':
      if (!Array.isArray(value) || value.some((item) => typeof item !== 'string' || item === '')) {
        throw invalid('must be a list of texts', key);
      }
      return Object.freeze([...(value as string[])]);
  }
}

function checkTogether(settings: NodeSettings): void {
  if (settings.memory && settings.dir !== undefined) {
    throw invalid('cannot be combined with memory: data is kept in one or the other', 'dir');
  }
  if (!settings.memory && settings.dir === undefined) {
    throw invalid('is missing: say where data lives, or set memory to true', 'dir');
  }
  if (!/^\/(?:[A-Za-z0-9._~-]+\/)*$/.test(settings.basePath)) {
    throw invalid('must start and end with a slash and hold plain segments', 'basePath');
  }
  if (isKvTarget(settings.basePath)) {
    throw invalid(`must not be under ${KV_PATH}, where key-value stores live`, 'basePath');
  }
  if (settings.basePath.startsWith(ADMIN_PATH)) {
    throw invalid(`must not be under ${ADMIN_PATH}, which is for administration`, 'basePath');
  }
  const { shardCount } = settings;
  if (shardCount !== undefined && (shardCount & (shardCount - 1)) !== 0) {
    throw invalid('must be a power of two', 'shardCount');
  }
  if (settings.maxCollectedBodyBytes < settings.maxBodyBytes) {
    throw invalid('must not be below maxBodyBytes', 'maxCollectedBodyBytes');
  }
  checkSubscriptions(settings);
  for (const origin of settings.allowedOrigins) {
    if (origin !== '*' && (!URL.canParse(origin) || new URL(origin).origin !== origin)) {
      throw invalid('must hold origins like https://app.example', 'allowedOrigins');
    }
  }
}

const CLAIM_TOKEN = /^[A-Za-z0-9\-._~+/]{16,256}={0,2}$/;

function checkSubscriptions({ publicUrl, claimTokens, openClaims }: NodeSettings): void {
  if (publicUrl !== undefined && !isPublicUrl(publicUrl)) {
    throw invalid(
      'must be like https://streams.example, with no slash behind and no query',
      'publicUrl',
    );
  }
  if (openClaims && claimTokens.length > 0) {
    throw invalid('cannot be combined with claimTokens: claims need one, or none', 'openClaims');
  }
  if (!claimTokens.every((token) => CLAIM_TOKEN.test(token))) {
    // The message does not repeat what may be nearly a secret.
    throw invalid('must hold texts of 16 to 256 letters, digits or -._~+/', 'claimTokens');
  }
}

/** It is put before paths as it stands. */
function isPublicUrl(text: string): boolean {
  if (!/^https?:\/\/[!-~]+$/.test(text) || !URL.canParse(text)) return false;
  const { origin, pathname } = new URL(text);
  return text === origin || (pathname !== '/' && text === origin + pathname && !text.endsWith('/'));
}

function invalid(message: string, setting: string): HoldfastError {
  return new HoldfastError('INVALID_SETTINGS', `${message} setting=${setting}`, {
    details: { setting },
  });
}
