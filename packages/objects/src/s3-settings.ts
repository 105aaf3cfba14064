/** Where a bucket is and how it is spoken to: settings in, one checked value out. */
import { HoldfastError, LIMITS } from '@holdfast/core';
import { isObjectKey } from './object-key.ts';
import type { S3Credentials } from './s3-credentials.ts';

export interface S3Settings {
  readonly bucket: string;
  /** Everything is under `<prefix>/`. Default: the whole bucket. */
  readonly prefix?: string | undefined;
  /** Default: `AWS_REGION`, `AWS_DEFAULT_REGION`, or `us-east-1`. */
  readonly region?: string | undefined;
  /** `https://host[:port]` of a store that is not Amazon's. Default: Amazon's of the region. */
  readonly endpoint?: string | undefined;
  /** `endpoint/bucket/key` and not `bucket.endpoint/key`. Default: with an endpoint. */
  readonly pathStyle?: boolean | undefined;
  /** Plain HTTP to another machine: the signature keeps secrets, the objects can be read. */
  readonly allowPlainHttp?: boolean | undefined;
  /** Default: the environment, then what the container or the machine is given. */
  readonly credentials?: S3Credentials | undefined;
  /** `none` for a bucket that may only be read: then no condition is offered. */
  readonly conditions?: 'probe' | 'none' | undefined;
  /** Bytes of one part of a large upload, 5 MiB at least. Larger: more memory, fewer requests. */
  readonly partBytes?: number | undefined;
  /** Parts of one upload under way. */
  readonly uploads?: number | undefined;
  /** Silence of the other side in a request. */
  readonly silenceMs?: number | undefined;
}

export interface S3Place {
  readonly bucket: string;
  /** Empty, or ends in `/`. */
  readonly prefix: string;
  readonly region: string;
  /** Scheme, host and, with path style, the bucket; no `/` at the end. */
  readonly base: string;
  readonly partBytes: number;
  readonly uploads: number;
  readonly silenceMs: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const SMALLEST_PART = 5 * 1024 * 1024;
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/;
const REGION = /^[a-z0-9-]{1,64}$/;
const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/;

export function parseS3Settings(settings: S3Settings, environment: Environment): S3Place {
  const { bucket, prefix = '', partBytes = LIMITS.objectPartBytes } = settings;
  const region =
    settings.region ??
    environment['AWS_REGION'] ??
    environment['AWS_DEFAULT_REGION'] ??
    'us-east-1';
  const { uploads = LIMITS.objectUploads, silenceMs = LIMITS.objectSilenceMs } = settings;
  if (!BUCKET.test(bucket)) throw invalid(`not the name of a bucket bucket=${bucket}`);
  if (!REGION.test(region)) throw invalid(`not a region region=${region}`);
  const trimmed = prefix.replace(/\/$/, '');
  if (trimmed !== '' && !isObjectKey(trimmed)) throw invalid(`not a prefix prefix=${prefix}`);
  if (!Number.isSafeInteger(partBytes) || partBytes < SMALLEST_PART) {
    throw invalid(`a part is too small partBytes=${partBytes} least=${SMALLEST_PART}`);
  }
  if (!Number.isSafeInteger(uploads) || uploads < 1)
    throw invalid(`not a count uploads=${uploads}`);
  if (!(silenceMs > 0)) throw invalid(`not a time silenceMs=${silenceMs}`);
  return {
    bucket,
    prefix: trimmed === '' ? '' : `${trimmed}/`,
    region,
    base: baseOf(settings, region),
    partBytes,
    uploads,
    silenceMs,
  };
}

function baseOf(settings: S3Settings, region: string): string {
  const { bucket, endpoint } = settings;
  const url = parseEndpoint(endpoint ?? `https://s3.${region}.amazonaws.com`, settings);
  // A name with dots is not covered by the certificate of `*.s3.amazonaws.com`.
  const pathStyle = settings.pathStyle ?? (endpoint !== undefined || bucket.includes('.'));
  return pathStyle
    ? `${url.protocol}//${url.host}/${bucket}`
    : `${url.protocol}//${bucket}.${url.host}`;
}

function parseEndpoint(endpoint: string, { allowPlainHttp = false }: S3Settings): URL {
  if (!URL.canParse(endpoint)) throw invalid('the endpoint is no URL');
  const url = new URL(endpoint);
  const extra = url.username + url.password + url.search + url.hash;
  if (url.pathname !== '/' || extra !== '' || !/^https?:$/.test(url.protocol)) {
    throw invalid('the endpoint is more or less than https://host:port');
  }
  if (url.protocol === 'http:' && !allowPlainHttp && !LOOPBACK.test(url.hostname)) {
    throw invalid(`plain HTTP lets others read the objects: set allowPlainHttp host=${url.host}`);
  }
  return url;
}

function invalid(message: string): HoldfastError {
  return new HoldfastError('INVALID_SETTINGS', `object store: ${message}`);
}
