/** Where credentials come from, when they are fetched anew, and where they are never sent. */
import { MemoryFileSystem, NodeRandom, writeFully } from '@holdfast/core';
import {
  type HttpAnswer,
  HttpFailure,
  type HttpRequest,
  type HttpTransport,
  openS3ObjectStore,
  type S3ObjectStoreComponents,
} from '@holdfast/objects';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';

const EC2 = 'http://169.254.169.254';
const HOUR = 3_600_000;

/** A cloud: its metadata service, and a bucket in which nothing is. */
class Cloud implements HttpTransport {
  readonly clock = new SimClock(new SeededRandom(1));
  readonly asked: string[] = [];
  /** Of the requests to S3: key id and session token. */
  readonly seen: string[] = [];
  validMs = HOUR;
  broken = false;
  expired = 0;
  #issued = 0;

  async send({ method, url, headers }: HttpRequest): Promise<HttpAnswer> {
    if (url.hostname.endsWith('amazonaws.com')) {
      const keyId = /Credential=([^/]+)\//.exec(headers['authorization'] ?? '')?.[1] ?? '';
      this.seen.push(`${keyId} ${headers['x-amz-security-token'] ?? '-'}`);
      if (this.expired > 0) {
        this.expired--;
        return answer(400, '<Error><Code>ExpiredToken</Code></Error>');
      }
      return answer(404, '<Error><Code>NoSuchKey</Code></Error>');
    }
    this.asked.push(`${method} ${url.href} ${headers['authorization'] ?? ''}`.trim());
    if (this.broken) throw new HttpFailure('HTTP failed', false, undefined);
    if (url.pathname === '/latest/api/token') return answer(200, 'imds-token');
    if (url.href.startsWith(EC2) && headers['x-aws-ec2-metadata-token'] !== 'imds-token') {
      return answer(401, '');
    }
    if (url.pathname.endsWith('/security-credentials/')) return answer(200, 'the-role\n');
    this.#issued++;
    return answer(
      200,
      JSON.stringify({
        AccessKeyId: `KEY${this.#issued}`,
        SecretAccessKey: 'hidden',
        Token: `session${this.#issued}`,
        Expiration: new Date(this.clock.now() + this.validMs).toISOString(),
      }),
    );
  }

  close(): void {}

  async head(
    environment: Record<string, string>,
    more: Partial<S3ObjectStoreComponents> = {},
  ): Promise<void> {
    const store = await this.open(environment, more);
    await expect(store.get('key')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' });
  }

  open(
    environment: Record<string, string>,
    more: Partial<S3ObjectStoreComponents> = {},
  ): ReturnType<typeof openS3ObjectStore> {
    const seams = { clock: this.clock, random: new NodeRandom(), transport: this };
    return openS3ObjectStore(
      { bucket: 'bucket', conditions: 'none' },
      { ...seams, environment, ...more },
    );
  }
}

function answer(status: number, text: string): HttpAnswer {
  return {
    status,
    headers: {},
    body: (async function* () {
      yield Buffer.from(text);
    })(),
    discard: () => undefined,
  };
}

describe('credentials', () => {
  it('come from the environment before anything is asked', async () => {
    const cloud = new Cloud();
    await cloud.head({ AWS_ACCESS_KEY_ID: 'ENV', AWS_SECRET_ACCESS_KEY: 's' });
    await cloud.head({
      AWS_ACCESS_KEY_ID: 'ENV',
      AWS_SECRET_ACCESS_KEY: 's',
      AWS_SESSION_TOKEN: 'session',
    });
    expect(cloud.seen).toEqual(['ENV -', 'ENV session']);
    expect(cloud.asked).toEqual([]);
  });

  it('come from ECS where the environment names it', async () => {
    const cloud = new Cloud();
    await cloud.head({ AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/v2/credentials/x' });
    expect(cloud.asked).toEqual(['GET http://169.254.170.2/v2/credentials/x']);
    expect(cloud.seen).toEqual(['KEY1 session1']);
  });

  it('come from a container with its token, from a file too', async () => {
    const cloud = new Cloud();
    const address = 'http://169.254.170.23/v1/credentials';
    const environment = { AWS_CONTAINER_CREDENTIALS_FULL_URI: address };
    await cloud.head({ ...environment, AWS_CONTAINER_AUTHORIZATION_TOKEN: 'Bearer a' });
    const fileSystem = new MemoryFileSystem();
    const file = await fileSystem.open('/token', 'create');
    await writeFully(file, Buffer.from('Bearer b\n'), 0);
    const named = { ...environment, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '/token' };
    await cloud.head(named, { fileSystem });
    expect(cloud.asked).toEqual([`GET ${address} Bearer a`, `GET ${address} Bearer b`]);
  });

  it('of a container are asked for nowhere else than at a container', async () => {
    for (const address of [
      'http://evil.example/',
      'http://169.254.170.3/',
      'http://10.0.0.1/',
      'file:///etc/passwd',
      'x',
    ]) {
      const cloud = new Cloud();
      const store = await cloud.open({
        AWS_CONTAINER_CREDENTIALS_FULL_URI: address,
        AWS_CONTAINER_AUTHORIZATION_TOKEN: 'Bearer a',
      });
      await expect(store.get('key')).rejects.toMatchObject({ code: 'INVALID_SETTINGS' });
      expect([cloud.asked, cloud.seen]).toEqual([[], []]);
    }
  });

  it('come from EC2 by version 2 of its service', async () => {
    const cloud = new Cloud();
    await cloud.head({});
    expect(cloud.asked).toEqual([
      `PUT ${EC2}/latest/api/token`,
      `GET ${EC2}/latest/meta-data/iam/security-credentials/`,
      `GET ${EC2}/latest/meta-data/iam/security-credentials/the-role`,
    ]);
    expect(cloud.seen).toEqual(['KEY1 session1']);
  });

  it('are fetched once for many, and again before they end', async () => {
    const cloud = new Cloud();
    const store = await cloud.open({});
    const ask = (): Promise<unknown> => store.get('key').catch(() => undefined);
    await Promise.all([ask(), ask(), ask()]);
    expect(new Set(cloud.seen)).toEqual(new Set(['KEY1 session1']));
    await cloud.clock.advance(HOUR - 300_001);
    await ask();
    expect(cloud.seen.at(-1)).toBe('KEY1 session1');
    await cloud.clock.advance(2);
    await ask();
    expect(cloud.seen.at(-1)).toBe('KEY2 session2');
  });

  it('that cannot be fetched anew are used as long as they last, and then not', async () => {
    const cloud = new Cloud();
    const store = await cloud.open({});
    await store.get('key').catch(() => undefined);
    cloud.broken = true;
    await cloud.clock.advance(HOUR - 1_000);
    await expect(store.get('key')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' });
    await cloud.clock.advance(2_000);
    await expect(store.get('key')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    await expect(store.put('key', Buffer.from('x'))).rejects.toMatchObject({ effect: 'none' });
  });

  it('that S3 calls expired are fetched anew for the next attempt', async () => {
    const cloud = new Cloud();
    const store = await cloud.open({});
    cloud.expired = 1;
    await expect(store.get('key')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    await expect(store.get('key')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' });
    expect(cloud.seen).toEqual(['KEY1 session1', 'KEY2 session2']);
  });

  it('that are nowhere are a setting that is missing', async () => {
    const cloud = new Cloud();
    const store = await cloud.open({ AWS_EC2_METADATA_DISABLED: 'true' });
    await expect(store.get('key')).rejects.toMatchObject({ code: 'INVALID_SETTINGS' });
    expect(cloud.asked).toEqual([]);
  });
});
