/**
 * Who we are for S3: from the settings, the environment, the container or the machine.
 *
 * Invariants
 * 1. Credentials that end within `credentialsRefreshMs` are fetched anew before they are used; as
 *    long as they have not ended, a failure to fetch is no failure.
 * 2. Of many who ask at once one fetches.
 * 3. Secrets appear in no error.
 */
import { type Clock, HoldfastError, LIMITS } from '@holdfast/core';
import type { Environment } from './s3-settings.ts';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface CredentialSource {
  get(signal: AbortSignal): Promise<S3Credentials>;
  /** What was given is not accepted any more. */
  forget(): void;
}

export interface FetchedCredentials extends S3Credentials {
  readonly expiresMs: number;
}

export function fixedCredentials(credentials: S3Credentials): CredentialSource {
  if (credentials.accessKeyId === '' || credentials.secretAccessKey === '') {
    throw new HoldfastError('INVALID_SETTINGS', 'object store: the credentials are empty');
  }
  return { get: async () => credentials, forget: () => undefined };
}

/** `undefined` where the environment names none. */
export function environmentCredentials(environment: Environment): S3Credentials | undefined {
  const accessKeyId = environment['AWS_ACCESS_KEY_ID'] ?? '';
  const secretAccessKey = environment['AWS_SECRET_ACCESS_KEY'] ?? '';
  if (accessKeyId === '' || secretAccessKey === '') return undefined;
  const sessionToken = environment['AWS_SESSION_TOKEN'];
  return {
    accessKeyId,
    secretAccessKey,
    sessionToken: sessionToken === '' ? undefined : sessionToken,
  };
}

/** Keeps what `fetch` gave until it ends. */
export class RefreshedCredentials implements CredentialSource {
  readonly #clock: Clock;
  readonly #fetch: () => Promise<FetchedCredentials>;
  #current: FetchedCredentials | undefined;
  #fetching: Promise<FetchedCredentials> | undefined;

  constructor(clock: Clock, fetch: () => Promise<FetchedCredentials>) {
    this.#clock = clock;
    this.#fetch = fetch;
  }

  async get(): Promise<S3Credentials> {
    const current = this.#current;
    const leftMs = (current?.expiresMs ?? -Infinity) - this.#clock.now();
    if (current !== undefined && leftMs > LIMITS.credentialsRefreshMs) return current;
    try {
      this.#fetching ??= this.#refresh(); // I2
      return await this.#fetching;
    } catch (error) {
      if (current !== undefined && leftMs > 0 && this.#current === current) return current; // I1
      throw error;
    }
  }

  forget(): void {
    this.#current = undefined;
  }

  async #refresh(): Promise<FetchedCredentials> {
    try {
      this.#current = await this.#fetch();
      return this.#current;
    } finally {
      this.#fetching = undefined;
    }
  }
}
