/**
 * Objects in a bucket of S3, or of what speaks like it.
 *
 * Invariants
 * 1. A condition is offered only after the store was seen to enforce it (s3-probe.ts).
 * 2. A missing object is believed only of an answer that names it so: a HEAD that failed is asked
 *    again as a GET, whose body says why.
 * 3. Nothing is tried twice in here; the one exception is I2, which reads.
 *
 * Owner: who opened it.
 */
import {
  type Clock,
  type FileSystem,
  hasCode,
  type HoldfastError,
  LIMITS,
  type Random,
} from '@holdfast/core';
import type { HttpTransport } from './http-transport.ts';
import { NodeHttpTransport } from './node-http-transport.ts';
import { knownLength, partsOf } from './object-body.ts';
import { assertRange, openContent } from './object-content.ts';
import { objectNotFound, preconditionFailed, throwIfEnded, unsupported } from './object-errors.ts';
import { assertObjectKey, compareKeys, isObjectKey } from './object-key.ts';
import type {
  CallOptions,
  GetOptions,
  LeftoverOptions,
  ListOptions,
  ObjectBody,
  ObjectContent,
  ObjectInfo,
  ObjectPage,
  ObjectStore,
  ObjectStoreCapabilities,
  PutOptions,
  PutResult,
} from './object-store.ts';
import { OpenCalls } from './open-calls.ts';
import { assertConditionalSize, conditionOf, listBounds } from './put-condition.ts';
import { S3Client } from './s3-client.ts';
import {
  type CredentialSource,
  environmentCredentials,
  fixedCredentials,
  RefreshedCredentials,
} from './s3-credentials.ts';
import { fetchInstanceCredentials } from './s3-instance-credentials.ts';
import {
  type EnforcedConditions,
  IF_ABSENT,
  ifMatchHeaders,
  NO_CONDITIONS,
  probeConditions,
} from './s3-probe.ts';
import { type ConditionHeaders, S3Requests } from './s3-requests.ts';
import { type Environment, parseS3Settings, type S3Place, type S3Settings } from './s3-settings.ts';
import { tooManyParts, uploadInParts } from './s3-upload.ts';

export interface S3ObjectStoreComponents {
  readonly clock: Clock;
  readonly random: Random;
  /** Default: sockets of Node.js. The store closes it. */
  readonly transport?: HttpTransport | undefined;
  /** What `AWS_…` variables are looked up in. Default: nothing. */
  readonly environment?: Environment | undefined;
  /** For the token file of a container. */
  readonly fileSystem?: FileSystem | undefined;
}

const PROBE_BYTES = 8;
const WRITE_ID_BYTES = 16;

export async function openS3ObjectStore(
  settings: S3Settings,
  components: S3ObjectStoreComponents,
  options: CallOptions = {},
): Promise<ObjectStore> {
  const { clock, random, environment = {}, transport = new NodeHttpTransport() } = components;
  const place = parseS3Settings(settings, environment);
  const credentials = sourceOf(settings, components, transport);
  const { AwsV4Signer: signer } = await import('aws4fetch'); // only who speaks S3 loads it
  const client = new S3Client({ transport, clock, credentials, signer }, place);
  const requests = new S3Requests(client, place);
  const calls = new OpenCalls();
  try {
    const conditions = await calls.run(options.signal, (signal) => {
      if (settings.conditions === 'none') return Promise.resolve(NO_CONDITIONS);
      const key = `.holdfast-probe-${random.bytes(PROBE_BYTES).toString('hex')}`;
      return probeConditions(requests, key, signal); // I1
    });
    return new S3ObjectStore({ client, requests, clock, random }, place, conditions);
  } catch (error) {
    client.close();
    throw error;
  }
}

function sourceOf(
  settings: S3Settings,
  { clock, environment = {}, fileSystem }: S3ObjectStoreComponents,
  transport: HttpTransport,
): CredentialSource {
  const fixed = settings.credentials ?? environmentCredentials(environment);
  if (fixed !== undefined) return fixedCredentials(fixed);
  return new RefreshedCredentials(clock, () =>
    fetchInstanceCredentials({ transport, clock, fileSystem }, environment),
  );
}

interface S3StoreComponents {
  readonly client: S3Client;
  readonly requests: S3Requests;
  readonly clock: Clock;
  readonly random: Random;
}

class S3ObjectStore implements ObjectStore {
  readonly capabilities: ObjectStoreCapabilities;
  readonly #client: S3Client;
  readonly #requests: S3Requests;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #place: S3Place;
  readonly #conditions: EnforcedConditions;
  readonly #calls = new OpenCalls();

  constructor(components: S3StoreComponents, place: S3Place, conditions: EnforcedConditions) {
    this.#client = components.client;
    this.#requests = components.requests;
    this.#clock = components.clock;
    this.#random = components.random;
    this.#place = place;
    this.#conditions = conditions;
    this.capabilities = {
      ifAbsent: conditions.ifAbsent,
      ifMatch: conditions.ifMatch,
      maxConditionalBytes: conditions.large ? Infinity : place.partBytes,
      nestedKeys: conditions.nestedKeys,
    };
  }

  put(key: string, body: ObjectBody, options: PutOptions = {}): Promise<PutResult> {
    return this.#calls.run(options.signal, async (signal) => {
      assertObjectKey(key);
      const condition = conditionOf(options, this.capabilities);
      const length = knownLength(body, options.contentLength);
      const { partBytes } = this.#place;
      if (length !== undefined) {
        assertConditionalSize(condition, length, this.capabilities);
        if (length > partBytes * LIMITS.maxObjectParts) throw tooManyParts(key);
      }
      const parts = partsOf(body, options.contentLength, partBytes, signal);
      // Always one: there are servers that keep the old name where a put brings none.
      const writeId = options.writeId ?? this.#random.bytes(WRITE_ID_BYTES).toString('hex');
      const headers = this.#headers(options);
      try {
        const first = await parts.next();
        const second = await parts.next();
        throwIfEnded(signal);
        const small = first.done === true ? Buffer.alloc(0) : first.value;
        if (second.done === true) {
          const etag = await this.#requests.putObject(key, small, headers, writeId, signal);
          return { etag, size: small.byteLength };
        }
        assertConditionalSize(condition, partBytes + second.value.byteLength, this.capabilities);
        const order = {
          key,
          parts: chain([small, second.value], parts),
          condition: headers,
          writeId,
          signal,
        };
        const components = { requests: this.#requests, clock: this.#clock };
        return await uploadInParts({ ...components, uploads: this.#place.uploads }, order);
      } catch (error) {
        await parts.return();
        throw conditionError(error, key, condition);
      }
    });
  }

  async get(key: string, options: GetOptions = {}): Promise<ObjectContent> {
    const call = this.#calls.enter(options.signal);
    try {
      assertObjectKey(key);
      const { range, ifMatch } = options;
      if (range !== undefined) assertRange(range);
      const { answer, ...facts } = await this.#getObject(key, range, ifMatch, call.signal);
      return openContent(
        call,
        { key, ...facts },
        { next: () => answer.next(), release: async () => answer.discard() },
      );
    } catch (error) {
      call.leave();
      throw error;
    }
  }

  head(key: string, options: CallOptions = {}): Promise<ObjectInfo> {
    return this.#calls.run(options.signal, async (signal) => {
      assertObjectKey(key);
      const info = await this.#requests.headObject(key, signal);
      if (info !== undefined) return info;
      const found = await this.#requests.getObject(key, undefined, signal); // I2
      found.answer.discard();
      return found.info;
    });
  }

  delete(key: string, options: CallOptions = {}): Promise<void> {
    return this.#calls.run(options.signal, async (signal) => {
      assertObjectKey(key);
      try {
        await this.#requests.deleteObject(key, signal);
      } catch (error) {
        if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error;
      }
    });
  }

  list(options: ListOptions = {}): Promise<ObjectPage> {
    return this.#calls.run(options.signal, async (signal) => {
      const { prefix, after, limit } = listBounds(options);
      const own = this.#place.prefix;
      const from = after === '' ? '' : own + after;
      const page = await this.#requests.listKeys(own + prefix, from, limit, signal);
      let last = from;
      const objects = page.objects.flatMap(({ key, size }) => {
        if (!key.startsWith(own + prefix)) throw outOfOrder();
        if (last !== '' && compareKeys(key, last) <= 0) throw outOfOrder();
        last = key;
        const name = key.slice(own.length);
        return isObjectKey(name) ? [{ key: name, size }] : [];
      });
      if (page.isTruncated && page.objects.length === 0) throw outOfOrder();
      return { objects, after: page.isTruncated ? last.slice(own.length) : undefined };
    });
  }

  removeLeftovers(options: LeftoverOptions): Promise<number> {
    return this.#calls.run(options.signal, async (signal) => {
      const before = this.#clock.now() - options.olderThanMs;
      const own = this.#place.prefix;
      let removed = 0;
      let next: { readonly key: string; readonly uploadId: string } | undefined;
      do {
        const page = await this.#requests.listUploads(next, signal);
        for (const { key, uploadId, initiatedMs } of page.uploads) {
          if (!key.startsWith(own) || initiatedMs >= before) continue;
          await this.#requests.abortUpload(key.slice(own.length), uploadId, signal);
          removed++;
        }
        next = page.next;
      } while (next !== undefined);
      return removed;
    });
  }

  async close(): Promise<void> {
    await this.#calls.close();
    this.#client.close();
  }

  #headers({ ifAbsent, ifMatch }: PutOptions): ConditionHeaders {
    if (ifAbsent === true) return IF_ABSENT;
    return ifMatch === undefined ? {} : ifMatchHeaders(ifMatch, this.#conditions.quoted);
  }

  async #getObject(
    key: string,
    range: GetOptions['range'],
    ifMatch: string | undefined,
    signal: AbortSignal,
  ): ReturnType<S3Requests['getObject']> {
    const found = await this.#requests.getObject(key, range, signal);
    if (ifMatch === undefined || found.info.etag === ifMatch) return found;
    found.answer.discard();
    throw preconditionFailed(key, 'ifMatch');
  }
}

async function* chain(
  first: readonly Uint8Array[],
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  yield* first;
  yield* rest;
}

/** S3 says "no such key" where the object that was to be replaced is not there. */
function conditionError(
  error: unknown,
  key: string,
  condition: 'ifAbsent' | 'ifMatch' | undefined,
): unknown {
  if (condition === undefined) return error;
  if (hasCode(error, 'PRECONDITION_FAILED')) {
    return preconditionFailed(key, condition, { cause: error, effect: error.effect });
  }
  if (condition === 'ifMatch' && hasCode(error, 'OBJECT_NOT_FOUND')) {
    return preconditionFailed(key, condition, { cause: error });
  }
  return hasCode(error, 'OBJECT_NOT_FOUND') ? objectNotFound(key, { cause: error }) : error;
}

function outOfOrder(): HoldfastError {
  return unsupported('the store does not list its keys in the order of their bytes');
}
