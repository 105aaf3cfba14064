/**
 * Where backups go, as an operator writes it: `s3://bucket/prefix`, `file:///folder` or a folder.
 * From text to a place that may be shown, and from there to an open store.
 *
 * Invariants
 * 1. No credentials in a location: they would be in the process list, in logs and in banners. A
 *    location that may hold some is refused, and not repeated.
 * 2. What speaks to object stores is loaded when one is opened, and S3 only for S3.
 */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Clock, type FileSystem, HoldfastError, LIMITS, type Random } from '@holdfast/core';
import type * as objectsModule from '@holdfast/objects';
import type {
  CallOptions,
  InstrumentedObjectStore,
  ObjectStore,
  ObjectStoreCapabilities,
  S3Settings,
} from '@holdfast/objects';

type Objects = typeof objectsModule;

export type ObjectStoreLocation =
  | { readonly kind: 's3'; readonly bucket: string; readonly prefix: string | undefined }
  | { readonly kind: 'folder'; readonly directory: string };

/** How a location of S3 is spoken to. */
export type S3Access = Pick<
  S3Settings,
  'region' | 'endpoint' | 'pathStyle' | 'allowPlainHttp' | 'credentials' | 'conditions'
>;

export interface ObjectStoreComponents {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  /** Where `AWS_…` variables are looked up. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** @throws `INVALID_SETTINGS` */
export function parseObjectStoreLocation(text: string): ObjectStoreLocation {
  if (text.trim() === '') throw invalid('is blank: write s3://bucket/prefix or a folder');
  if (/^~(?:\/|$)/.test(text)) {
    throw invalid('begins with ~, which only a shell knows: write the whole path of the folder');
  }
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) return { kind: 'folder', directory: resolve(text) };
  if (!/^[a-z0-9+.-]+:\/\//i.test(text) || !URL.canParse(text)) {
    throw invalid('is no URL: write s3://bucket/prefix, file:///folder or a folder');
  }
  const url = new URL(text);
  if (url.username + url.password !== '' || (scheme === 's3' ? /[@?#]/ : /[?#]/).test(text)) {
    // I1
    throw invalid(
      'must not hold credentials or a query: credentials come from the environment ' +
        '(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or from the machine',
    );
  }
  switch (scheme) {
    case 's3':
      return s3Location(text);
    case 'file':
      if (url.host !== '') throw invalid('must name a folder of this machine, like file:///folder');
      return { kind: 'folder', directory: folderOf(url) };
    default:
      throw invalid(`cannot be reached over ${scheme}: write s3://bucket/prefix or a folder`);
  }
}

/** For people and logs. */
export function describeLocation(location: ObjectStoreLocation): string {
  if (location.kind === 'folder') return location.directory;
  return `s3://${location.bucket}${location.prefix === undefined ? '' : `/${location.prefix}`}`;
}

/**
 * Opened now, retrying, and counted as its users see it. Whoever opened it closes it.
 * @throws what speaks against it: it does not answer, or refuses the credentials.
 */
export async function openObjectStore(
  location: ObjectStoreLocation,
  access: S3Access,
  components: ObjectStoreComponents,
  options: CallOptions = {},
): Promise<InstrumentedObjectStore> {
  const objects = await import('@holdfast/objects'); // I2
  const inner = await openBare(objects, location, access, components, options);
  return decorated(objects, inner, components);
}

/** The same for a node, which also starts while the store does not answer. */
export async function openObjectStoreLate(
  location: ObjectStoreLocation,
  access: S3Access,
  components: ObjectStoreComponents,
): Promise<InstrumentedObjectStore> {
  const objects = await import('@holdfast/objects'); // I2
  const open = (options: CallOptions): Promise<ObjectStore> =>
    openBare(objects, location, access, components, options);
  return decorated(objects, new objects.LateObjectStore(open, ASSUMED), components);
}

/** What every store must do that backups go to, and nothing more. */
const ASSUMED: ObjectStoreCapabilities = {
  ifAbsent: true,
  ifMatch: true,
  maxConditionalBytes: LIMITS.objectPartBytes,
  nestedKeys: false,
};

function decorated(
  { InstrumentedObjectStore: Instrumented, RetryingObjectStore: Retrying }: Objects,
  inner: ObjectStore,
  components: ObjectStoreComponents,
): InstrumentedObjectStore {
  return new Instrumented(new Retrying(inner, components), components);
}

function openBare(
  objects: Objects,
  location: ObjectStoreLocation,
  access: S3Access,
  components: ObjectStoreComponents,
  options: CallOptions,
): Promise<ObjectStore> {
  if (location.kind === 'folder') {
    return objects.openFsObjectStore({ directory: location.directory }, components);
  }
  const { bucket, prefix } = location;
  return objects.openS3ObjectStore({ ...access, bucket, prefix }, components, options);
}

/** As it is written: a URL parser would change the case of the bucket and resolve dots. */
function s3Location(text: string): ObjectStoreLocation {
  const [, bucket = '', path = ''] = /^s3:\/\/([^/]*)\/?(.*)$/i.exec(text) ?? [];
  const prefix = path.replace(/\/$/, '');
  if (bucket === '') throw invalid('names no bucket: write s3://bucket/prefix');
  const segments = prefix === '' ? [] : prefix.split('/');
  if (segments.some((segment) => segment === '' || segment.startsWith('.'))) {
    throw invalid('has a prefix with an empty segment, or one that begins with a dot');
  }
  return { kind: 's3', bucket, prefix: prefix === '' ? undefined : prefix };
}

function folderOf(url: URL): string {
  try {
    return resolve(fileURLToPath(url));
  } catch {
    throw invalid('is no path of a folder');
  }
}

function invalid(message: string): HoldfastError {
  return new HoldfastError('INVALID_SETTINGS', `the place of backups ${message} setting=backup`, {
    details: { setting: 'backup' },
  });
}
