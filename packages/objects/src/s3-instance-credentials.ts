/**
 * Credentials that a container or a machine of a cloud is given, asked for over HTTP at an address
 * that only they reach: ECS and EKS (`AWS_CONTAINER_CREDENTIALS_*`), then EC2 (IMDSv2).
 *
 * A container's address is believed only when it is HTTPS, loopback, or the link-local addresses
 * of ECS and EKS: its token must not go anywhere else. Version 1 of IMDS is not spoken.
 */
import { type Clock, type FileSystem, HoldfastError, readExactly } from '@holdfast/core';
import { HttpFailure, type HttpTransport } from './http-transport.ts';
import { unavailable } from './object-errors.ts';
import type { FetchedCredentials } from './s3-credentials.ts';
import type { Environment } from './s3-settings.ts';
import { SilenceWatch } from './silence-watch.ts';

export interface InstanceComponents {
  readonly transport: HttpTransport;
  readonly clock: Clock;
  /** For the token of a container that is in a file. */
  readonly fileSystem?: FileSystem | undefined;
}

const ECS = 'http://169.254.170.2';
const EC2 = 'http://169.254.169.254';
const TRUSTED_HOST =
  /^(?:localhost|127(?:\.\d+){3}|\[::1\]|169\.254\.170\.(?:2|23)|\[fd00:ec2::23\])$/;
const TOKEN_SECONDS = '21600';
const SILENCE_MS = 2_000;
const MAX_ANSWER_BYTES = 64 * 1024;

export async function fetchInstanceCredentials(
  components: InstanceComponents,
  environment: Environment,
): Promise<FetchedCredentials> {
  const relative = environment['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'];
  const full = environment['AWS_CONTAINER_CREDENTIALS_FULL_URI'];
  if (relative !== undefined) return fromContainer(components, environment, `${ECS}${relative}`);
  if (full !== undefined) return fromContainer(components, environment, full);
  if (environment['AWS_EC2_METADATA_DISABLED'] === 'true') {
    throw new HoldfastError(
      'INVALID_SETTINGS',
      'object store: no credentials in the settings, the environment or a container',
    );
  }
  return fromMachine(components, environment);
}

async function fromContainer(
  components: InstanceComponents,
  environment: Environment,
  address: string,
): Promise<FetchedCredentials> {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || !(url.protocol === 'https:' || isTrusted(url))) {
    throw new HoldfastError(
      'INVALID_SETTINGS',
      'object store: the address of the credentials is not one of a container',
    );
  }
  const token = await containerToken(components, environment);
  const headers = { accept: 'application/json', ...(token === '' ? {} : { authorization: token }) };
  return parseCredentials(await ask(components, 'GET', url, headers));
}

async function containerToken(
  { fileSystem }: InstanceComponents,
  environment: Environment,
): Promise<string> {
  const path = environment['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'];
  const token = environment['AWS_CONTAINER_AUTHORIZATION_TOKEN'] ?? '';
  const text =
    path === undefined || fileSystem === undefined ? token : await read(fileSystem, path);
  if (/[\r\n]/.test(text.trim())) {
    throw new HoldfastError('INVALID_SETTINGS', 'object store: the token has more than one line');
  }
  return text.trim();
}

async function read(fileSystem: FileSystem, path: string): Promise<string> {
  try {
    const file = await fileSystem.open(path, 'read');
    try {
      const length = Math.min(await file.size(), MAX_ANSWER_BYTES);
      return (await readExactly(file, 0, length))?.toString('utf8') ?? '';
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw unavailable(`the token of the container cannot be read path=${path}`, { cause });
  }
}

async function fromMachine(
  components: InstanceComponents,
  environment: Environment,
): Promise<FetchedCredentials> {
  const endpoint = environment['AWS_EC2_METADATA_SERVICE_ENDPOINT'] ?? EC2;
  const base = endpoint.replace(/\/$/, '');
  if (!URL.canParse(base)) {
    throw new HoldfastError('INVALID_SETTINGS', 'object store: the metadata service is no URL');
  }
  const token = await ask(components, 'PUT', new URL(`${base}/latest/api/token`), {
    'x-aws-ec2-metadata-token-ttl-seconds': TOKEN_SECONDS,
  });
  const headers = { 'x-aws-ec2-metadata-token': token };
  const folder = `${base}/latest/meta-data/iam/security-credentials/`;
  const role =
    (await ask(components, 'GET', new URL(folder), headers)).split('\n')[0]?.trim() ?? '';
  const url = new URL(folder + encodeURIComponent(role));
  return parseCredentials(await ask(components, 'GET', url, headers));
}

async function ask(
  { transport, clock }: InstanceComponents,
  method: string,
  url: URL,
  headers: Readonly<Record<string, string>>,
): Promise<string> {
  const watch = new SilenceWatch(clock, SILENCE_MS, new AbortController().signal);
  watch.touch();
  try {
    const answer = await transport.send({ method, url, headers, signal: watch.signal });
    let text = '';
    for await (const piece of answer.body) {
      text += piece.toString('utf8');
      if (text.length > MAX_ANSWER_BYTES) break;
    }
    if (answer.status === 200 && text.length <= MAX_ANSWER_BYTES) return text;
    throw unavailable(`no credentials from the machine host=${url.host} status=${answer.status}`);
  } catch (error) {
    if (!(error instanceof HttpFailure)) throw error;
    throw unavailable(`no credentials from the machine host=${url.host}`, { cause: error.cause });
  } finally {
    watch.end();
  }
}

function parseCredentials(text: string): FetchedCredentials {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw unavailable('the credentials of the machine are no JSON');
  }
  const { AccessKeyId, SecretAccessKey, Token, Expiration } = value;
  const expiresMs = typeof Expiration === 'string' ? Date.parse(Expiration) : NaN;
  if (
    typeof AccessKeyId !== 'string' ||
    typeof SecretAccessKey !== 'string' ||
    !Number.isFinite(expiresMs)
  ) {
    throw unavailable('the credentials of the machine are not whole');
  }
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: typeof Token === 'string' ? Token : undefined,
    expiresMs,
  };
}

function isTrusted(url: URL): boolean {
  return url.protocol === 'http:' && TRUSTED_HOST.test(url.hostname);
}
