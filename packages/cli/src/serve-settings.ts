/**
 * Flags and environment of `serve` to settings of a node. Both are mechanical: `shardCount` is
 * `--shard-count` and `HOLDFAST_SHARD_COUNT`. Flag over environment over default.
 */
import type { NodeSettings, NodeSettingsInput, SettingKind } from '@holdfast/node';
import { BACKUP_SETTING_FLAGS } from './backup-flags.ts';
import { usageError } from './command-error.ts';
import type { CommandCall, Flag } from './command.ts';

/** `dir` is the argument of the command, and `HOLDFAST_DIR`. */
type FlagSetting = Exclude<keyof NodeSettings, 'dir'>;

export interface SettingFlag {
  readonly kind: SettingKind;
  readonly value?: string;
  readonly summary: string;
}

const SETTINGS: Readonly<Record<FlagSetting, SettingFlag>> = {
  memory: { kind: 'flag', summary: 'keep everything in memory; nothing survives the process' },
  host: { kind: 'text', value: 'H', summary: 'address to listen on (default 127.0.0.1)' },
  port: { kind: 'integer', value: 'N', summary: 'port; 0 picks a free one (default 4437)' },
  basePath: { kind: 'text', value: 'PATH', summary: 'where streams live (default /v1/stream/)' },
  insecure: { kind: 'flag', summary: 'listen on a public address although anybody may call' },
  allowedHosts: { kind: 'list', value: 'A,B', summary: 'Host names to accept' },
  allowedOrigins: { kind: 'list', value: 'A,B', summary: 'origins of web pages that may call' },
  longPollTimeoutMs: { kind: 'integer', value: 'N', summary: 'how long a long-poll waits' },
  maxChunkBytes: { kind: 'integer', value: 'N', summary: 'body of one read response' },
  maxBodyBytes: { kind: 'integer', value: 'N', summary: 'largest request body' },
  maxCollectedBodyBytes: { kind: 'integer', value: 'N', summary: 'all unfinished request bodies' },
  maxLiveReaders: { kind: 'integer', value: 'N', summary: 'long-polls and SSE connections' },
  maxUnsentBytes: { kind: 'integer', value: 'N', summary: 'memory of answers not taken yet' },
  minReadBytesPerSecond: { kind: 'integer', value: 'N', summary: 'slower readers are dropped' },
  minBodyBytesPerSecond: { kind: 'integer', value: 'N', summary: 'slower bodies are refused' },
  maxConnectionsPerClient: { kind: 'integer', value: 'N', summary: 'connections of one client' },
  maxRequestsPerClient: {
    kind: 'integer',
    value: 'N',
    summary: 'requests under way of one client',
  },
  maxLiveReadersPerClient: { kind: 'integer', value: 'N', summary: 'live readers of one client' },
  requestsPerSecondPerClient: {
    kind: 'integer',
    value: 'N',
    summary: 'requests of one client a second (default: no bound)',
  },
  receivedBytesPerSecondPerClient: {
    kind: 'integer',
    value: 'N',
    summary: 'bytes one client may send a second (default: no bound)',
  },
  maxStreams: { kind: 'integer', value: 'N', summary: 'how many streams there may be' },
  maxProducersPerStream: { kind: 'integer', value: 'N', summary: 'producers a stream remembers' },
  maxStreamBytes: {
    kind: 'integer',
    value: 'N',
    summary: 'data of one stream (default: no bound)',
  },
  maxTotalBytes: {
    kind: 'integer',
    value: 'N',
    summary: 'data of all streams (default: no bound)',
  },
  publicUrl: {
    kind: 'text',
    value: 'URL',
    summary: 'how receivers of webhooks reach this node, without the base path',
  },
  claimTokens: {
    kind: 'list',
    value: 'A,B',
    summary: 'tokens for claims; better in the variable, or in a file',
  },
  openClaims: { kind: 'flag', summary: 'everybody who can connect may claim' },
  allowLoopbackWebhooks: {
    kind: 'flag',
    summary: 'webhooks may go to this machine, for development',
  },
  maxWebhookAttempts: {
    kind: 'integer',
    value: 'N',
    summary: 'failed deliveries until work goes to the dead letters',
  },
  drainTimeoutMs: { kind: 'integer', value: 'N', summary: 'how long a stop waits for requests' },
  scrubIntervalMs: {
    kind: 'integer',
    value: 'N',
    summary: 'pause between two checks of all data; 0: none',
  },
  shardCount: { kind: 'integer', value: 'N', summary: 'shards of a new data directory' },
  ...BACKUP_SETTING_FLAGS,
};

const DEFAULT_DIR = './data';

export const SETTING_FLAGS: Readonly<Record<string, Flag>> = settingFlags(SETTINGS);

export function settingFlags(
  settings: Readonly<Record<string, SettingFlag>>,
): Readonly<Record<string, Flag>> {
  const flags = Object.entries(settings).map(([key, { kind, value, summary }]) => {
    const flag: Flag = {
      type: kind === 'flag' ? 'boolean' : 'string',
      summary,
      env: variableName(key),
      ...(value === undefined ? {} : { value }),
    };
    return [flagName(key), flag] as const;
  });
  return Object.fromEntries(flags);
}

export function serveSettings(call: CommandCall): NodeSettingsInput {
  const settings: Record<string, unknown> = readSettings(call, SETTINGS);
  const key = keyFromEnvironment(call);
  if (key !== undefined) settings['key'] = key;
  const given = call.arguments[0];
  if (given !== undefined) {
    if (call.values.flag('memory')) throw usageError('DIR and --memory exclude each other');
    return { ...settings, memory: false, dir: given };
  }
  if (settings['memory'] === true) return settings;
  return { ...settings, dir: call.io.env['HOLDFAST_DIR'] || DEFAULT_DIR };
}

/** A flag would show it to everybody. One that came to nothing must not mean: do not encrypt. */
export function keyFromEnvironment(call: CommandCall): string | undefined {
  const key = call.io.env['HOLDFAST_KEY'];
  if (key === '') throw usageError('HOLDFAST_KEY is empty', 'give the key, or unset it');
  return key;
}

/** Those of `settings` that flags or the environment give. */
export function readSettings(
  call: CommandCall,
  settings: Readonly<Record<string, SettingFlag>>,
): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  for (const [key, { kind }] of Object.entries(settings)) {
    const value = settingValue(call, key, kind);
    if (value !== undefined) given[key] = value;
  }
  return given;
}

function settingValue(call: CommandCall, key: string, kind: SettingKind): unknown {
  const flag = flagName(key);
  if (kind === 'flag' && call.values.flag(flag)) return true;
  const text = kind === 'flag' ? call.io.env[variableName(key)] : call.values.text(flag);
  if (text === '' && call.values.given(flag)) throw usageError(`--${flag} is empty`);
  if (text === undefined || text === '') return undefined;
  const origin = call.values.given(flag) ? `--${flag}` : variableName(key);
  return parseText(text, kind, origin);
}

function parseText(text: string, kind: SettingKind, origin: string): unknown {
  switch (kind) {
    case 'text':
      return text;
    case 'list':
      return text.split(',').map((item) => item.trim());
    case 'integer':
      if (!/^\d{1,15}$/.test(text)) throw usageError(`${origin} must be a whole number`);
      return Number(text);
    case 'flag':
      if (text === '1' || text === 'true') return true;
      if (text === '0' || text === 'false') return false;
      throw usageError(`${origin} must be true or false`);
  }
}

export function flagName(setting: string): string {
  return setting.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

export function variableName(setting: string): string {
  return `HOLDFAST_${setting.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}
