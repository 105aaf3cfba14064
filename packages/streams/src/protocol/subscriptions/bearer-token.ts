/** `Authorization: Bearer`, and the tokens with which workers may claim. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { HoldfastError } from '@holdfast/core';

const CREDENTIALS = /^Bearer +([A-Za-z0-9\-._~+/]+=*) *$/i;

/** The token of a request. Throws `TOKEN_REQUIRED`, saying what would be one; `INVALID_HEADER`. */
export function requireBearer(rawHeaders: readonly string[], what: string): string {
  let value: string | undefined;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if ((rawHeaders[i] as string).toLowerCase() !== 'authorization') continue;
    if (value !== undefined) {
      throw new HoldfastError('INVALID_HEADER', 'header is given twice name=authorization');
    }
    value = rawHeaders[i + 1] as string;
  }
  const token = value === undefined ? undefined : CREDENTIALS.exec(value)?.[1];
  if (token !== undefined) return token;
  throw new HoldfastError('TOKEN_REQUIRED', `authorization: bearer is needed with ${what}`);
}

/** Who may take the lease of a pull-wake subscription. */
export interface ClaimSettings {
  /** Everybody who can connect. */
  readonly open: boolean;
  readonly tokens: readonly string[];
}

/** Tokens are compared by their hashes, all of them: time says nothing about any. */
export class ClaimGate {
  readonly #open: boolean;
  readonly #hashes: readonly Buffer[];

  constructor(settings: ClaimSettings) {
    this.#open = settings.open;
    this.#hashes = settings.tokens.map(hashOf);
  }

  /** Throws `TOKEN_REQUIRED` or `TOKEN_INVALID`. */
  admit(rawHeaders: readonly string[]): void {
    if (this.#open) return;
    if (this.#hashes.length === 0) {
      throw new HoldfastError(
        'TOKEN_REQUIRED',
        'this node has no tokens for claims: set claimTokens, or openClaims for everybody',
      );
    }
    const given = hashOf(requireBearer(rawHeaders, 'one of the claim tokens of this node'));
    let known = false;
    for (const hash of this.#hashes) known = timingSafeEqual(hash, given) || known;
    if (!known) throw new HoldfastError('TOKEN_INVALID', 'this is no claim token of this node');
  }
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
