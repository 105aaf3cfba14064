/**
 * Where the entries of a tier rest, as an operator writes it. From text to a place that may be shown:
 *
 * | text | place |
 * | --- | --- |
 * | `engine:`, `engine:NAME` | a store of the node's own engine |
 * | `memory:` | the memory of this process |
 * | `files:DIR`, `lmdb:DIR`, `sqlite:DIR` | a folder of this machine |
 * | `postgres://user:password@host:port/database?table=NAME` | two tables |
 * | `redis://user:password@host:port/number?name=NAME`, `rediss:` | keys that begin with `{NAME}` |
 * | `nats://host:port/BUCKET` | a JetStream bucket; several servers with commas |
 * | `s3://bucket/prefix?endpoint=URL&region=NAME&pathStyle=true&plainHttp=true` | objects |
 *
 * Invariants
 * 1. The id of a place names what is there and never who may: it holds no user and no password, and
 *    stays the same when those change. Errors repeat nothing of a text that may hold some.
 * 2. Two texts with one id are one place.
 */
import { resolve } from 'node:path';
import { closestName, HoldfastError, LIMITS } from '@holdfast/core';
import {
  describeLocation,
  parseObjectStoreLocation,
  type S3Access,
} from '../object-store-location.ts';

export type KvLocation = { readonly id: string } & (
  | { readonly kind: 'engine'; readonly store: string }
  | { readonly kind: 'memory' }
  | { readonly kind: 'files' | 'lmdb' | 'sqlite'; readonly directory: string }
  | { readonly kind: 'postgres'; readonly url: string; readonly table: string }
  | { readonly kind: 'redis'; readonly url: string; readonly name: string }
  | { readonly kind: 'nats'; readonly servers: readonly string[]; readonly bucket: string }
  | {
      readonly kind: 's3';
      readonly bucket: string;
      readonly prefix: string | undefined;
      readonly access: S3Access;
    }
);

export type KvLocationKind = KvLocation['kind'];

export interface LocationContext {
  /** The setting, for errors. */
  readonly setting: string;
  /** What `engine:` alone means. */
  readonly engineStore: string;
}

const SCHEMES: Readonly<Record<string, KvLocationKind>> = {
  engine: 'engine',
  memory: 'memory',
  files: 'files',
  lmdb: 'lmdb',
  sqlite: 'sqlite',
  postgres: 'postgres',
  postgresql: 'postgres',
  redis: 'redis',
  rediss: 'redis',
  nats: 'nats',
  s3: 's3',
};
const EXAMPLES =
  'engine:, memory:, files:DIR, lmdb:DIR, sqlite:DIR, postgres://host:port/database?table=NAME, ' +
  'redis://host:port?name=NAME, nats://host:port/BUCKET or s3://bucket/prefix';
const DEFAULT_PORTS: Readonly<Record<string, string>> = { postgres: '5432', redis: '6379' };
const DEFAULT_TABLE = 'holdfast_kv';
const DEFAULT_REDIS_NAME = 'holdfast';
const TABLE = /^[a-z_][a-z0-9_]{0,39}$/;
const PLAIN_NAME = /^[A-Za-z0-9_-]{1,64}$/;
const ENGINE_STORE = /^[A-Za-z0-9_.-]+$/;

/** @throws `INVALID_SETTINGS` */
export function parseKvLocation(text: string, context: LocationContext): KvLocation {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) throw invalid(`must be one of ${EXAMPLES}`, context);
  const kind = Object.hasOwn(SCHEMES, scheme) ? SCHEMES[scheme] : undefined;
  const rest = text.slice(scheme.length + 1);
  switch (kind) {
    case 'engine':
      return engineLocation(rest || context.engineStore, context);
    case 'memory':
      if (rest !== '') throw invalid('has something behind memory:, which is one place', context);
      return { kind, id: 'memory:' };
    case 'files':
    case 'lmdb':
    case 'sqlite':
      return folderLocation(kind, rest, context);
    case 'postgres':
      return postgresLocation(serverUrl(text, context), context);
    case 'redis':
      return redisLocation(serverUrl(text, context), context);
    case 'nats':
      return natsLocation(text, context);
    case 's3':
      return s3Location(text, context);
    case undefined: {
      const near = closestName(scheme, Object.keys(SCHEMES));
      const meant = near === undefined ? `write one of ${EXAMPLES}` : `did you mean ${near}:?`;
      throw invalid(`cannot be reached over ${scheme}: ${meant}`, context);
    }
  }
}

function engineLocation(store: string, context: LocationContext): KvLocation {
  if (!ENGINE_STORE.test(store) || store.length > LIMITS.maxStoreNameBytes) {
    throw invalid('names no store: 1 to 64 of A-Z a-z 0-9 _ . -', context);
  }
  return { kind: 'engine', id: `engine:${store}`, store };
}

function folderLocation(
  kind: 'files' | 'lmdb' | 'sqlite',
  rest: string,
  context: LocationContext,
): KvLocation {
  const path = rest.startsWith('//') ? rest.slice(2) : rest;
  if (path === '' || path.includes('\0')) throw invalid(`names no folder: ${kind}:DIR`, context);
  if (/^~(?:\/|$)/.test(path)) {
    throw invalid('begins with ~, which only a shell knows: write the whole path', context);
  }
  const directory = resolve(path);
  return { kind, id: `${kind}:${directory}`, directory };
}

function postgresLocation(url: URL, context: LocationContext): KvLocation {
  const table = taken(url, 'table') ?? DEFAULT_TABLE;
  if (!TABLE.test(table)) {
    throw invalid('has a table that is not 1 to 40 of a-z 0-9 _', context);
  }
  if (url.hash !== '') throw invalid('has a #: write ?table=NAME', context);
  const database = url.pathname;
  if (!/^\/[^/]+$/.test(database)) throw invalid('names no database', context);
  // The driver goes where the query says, to a socket of this machine for one.
  const named = url.searchParams.get('host') ?? '';
  const name = named === '' ? hostOf(url) : encodeURIComponent(named);
  const port = url.port || (url.searchParams.get('port') ?? DEFAULT_PORTS['postgres']);
  const host = `${name}:${port}`;
  return {
    kind: 'postgres',
    id: `postgres://${host}${database}?table=${table}`,
    url: url.href,
    table,
  };
}

function redisLocation(url: URL, context: LocationContext): KvLocation {
  const hash = url.hash.slice(1);
  const name = taken(url, 'name') ?? (hash === '' ? DEFAULT_REDIS_NAME : hash);
  url.hash = '';
  if (!PLAIN_NAME.test(name)) {
    throw invalid('has a name that is not 1 to 64 of A-Z a-z 0-9 _ -', context);
  }
  const number = url.pathname.replace(/^\//, '') || '0';
  if (!/^\d{1,4}$/.test(number)) throw invalid('has a database that is no number', context);
  const host = `${hostOf(url)}:${url.port || DEFAULT_PORTS['redis']}`;
  return { kind: 'redis', id: `redis://${host}/${number}?name=${name}`, url: url.href, name };
}

function natsLocation(text: string, context: LocationContext): KvLocation {
  const [, hosts = '', bucket = ''] = /^nats:\/\/([^/]*)\/?(.*)$/i.exec(text) ?? [];
  if (hosts.includes('@'))
    throw invalid('must not hold credentials: NATS takes none here', context);
  if (hosts.includes('?')) throw invalid('has options, and NATS takes none here', context);
  const servers = hosts.split(',').map((host) => `nats://${host}`);
  if (!servers.every((server) => URL.canParse(server) && new URL(server).hostname !== '')) {
    throw invalid('names no server: nats://host:port/BUCKET', context);
  }
  if (!PLAIN_NAME.test(bucket)) {
    throw invalid('names no bucket: nats://host:port/BUCKET, of A-Z a-z 0-9 _ -', context);
  }
  // A cluster is one place, whoever of it is asked first.
  const shown = hosts.toLowerCase().split(',').toSorted().join(',');
  return { kind: 'nats', id: `nats://${shown}/${bucket}`, servers, bucket };
}

const S3_OPTIONS = ['endpoint', 'region', 'pathStyle', 'plainHttp'] as const;

function s3Location(text: string, context: LocationContext): KvLocation {
  const [place = '', query = ''] = text.split('?');
  const options = new URLSearchParams(query);
  for (const name of options.keys()) {
    if (!(S3_OPTIONS as readonly string[]).includes(name))
      throw unknownOption(name, S3_OPTIONS, context);
  }
  const location = asSetting(() => parseObjectStoreLocation(place), context);
  if (location.kind !== 's3') throw invalid('names no bucket: s3://bucket/prefix', context);
  const endpoint = options.get('endpoint') ?? undefined;
  if (endpoint !== undefined && !isEndpoint(endpoint)) {
    throw invalid('has an endpoint that is no http URL without credentials', context);
  }
  const { bucket, prefix } = location;
  const at = endpoint === undefined ? '' : `?endpoint=${new URL(endpoint).origin}`;
  const access: S3Access = {
    region: options.get('region') ?? undefined,
    endpoint,
    pathStyle: flagOf(options, 'pathStyle', context),
    allowPlainHttp: flagOf(options, 'plainHttp', context) ?? false,
    credentials: undefined,
  };
  return { kind: 's3', id: describeLocation(location) + at, bucket, prefix, access };
}

function isEndpoint(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return /^https?:$/.test(protocol) && username + password === '';
}

function flagOf(
  options: URLSearchParams,
  name: string,
  context: LocationContext,
): boolean | undefined {
  const text = options.get(name);
  if (text === null) return undefined;
  if (text === 'true' || text === 'false') return text === 'true';
  throw invalid(`has a ${name} that is not true or false`, context);
}

function serverUrl(text: string, context: LocationContext): URL {
  if (!/^[a-z]+:\/\//i.test(text) || !URL.canParse(text)) {
    throw invalid(`is no URL with a host: ${EXAMPLES}`, context);
  }
  const url = new URL(text);
  // Of schemes that URL does not know a host may be empty: drivers then go to this machine.
  if (url.hostname === '') throw invalid('names no host', context);
  if (/%(?![0-9A-Fa-f]{2})/.test(url.username + url.password)) {
    throw invalid('has a user or password with a % that is not written %25', context);
  }
  return url;
}

/** The rest of the query is the driver's. */
function taken(url: URL, name: string): string | undefined {
  const value = url.searchParams.get(name);
  url.searchParams.delete(name);
  return value ?? undefined;
}

function hostOf(url: URL): string {
  return url.hostname.toLowerCase();
}

/** The same refusal, under the name of this setting. */
function asSetting<Result>(parse: () => Result, context: LocationContext): Result {
  try {
    return parse();
  } catch (error) {
    const said = error instanceof Error ? error.message : '';
    throw invalid(
      said.replace(/^the place of backups /, '').replace(/ setting=backup$/, ''),
      context,
    );
  }
}

function unknownOption(
  name: string,
  known: readonly string[],
  context: LocationContext,
): HoldfastError {
  const near = closestName(name, known);
  const meant = near === undefined ? `known are ${known.join(', ')}` : `did you mean ${near}?`;
  return invalid(`has an option that is not known, ${meant}`, context);
}

function invalid(message: string, { setting }: LocationContext): HoldfastError {
  return new HoldfastError(
    'INVALID_SETTINGS',
    `the place of a tier ${message} setting=${setting}`,
    {
      details: { setting },
    },
  );
}
