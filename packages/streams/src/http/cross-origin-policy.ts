/**
 * Which web pages may speak to the node. Until origins are configured, only pages served from
 * this machine. A page of another origin cannot read an answer, and its writes are refused:
 * browsers send simple POSTs without asking first, so hiding the answer would not be enough.
 */
import { HoldfastError } from '@holdfast/core';

export interface CrossOriginSettings {
  /** Exact origins; `*` is every one; empty is loopback only. */
  readonly allowOrigin: readonly string[];
}

const LOOPBACK = /^https?:\/\/(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;

/** Captures host and port. */
const WEB_ORIGIN = /^https?:\/\/(.+)$/i;

/** What a page may read of an answer besides what browsers always show. */
const EXPOSED: readonly string[] = ['ETag', 'Location', 'Retry-After'];

/** Of the page itself, or typed by a person. */
const OWN_SITE: ReadonlySet<string> = new Set(['same-origin', 'none']);

const NONE: readonly string[] = [];
const VARY: readonly string[] = ['Vary', 'Origin'];
/** Origins whose header lists are kept; there are few real ones. */
const MAX_REMEMBERED = 64;

export class CrossOriginPolicy {
  readonly #any: boolean;
  readonly #exposed: string;
  readonly #configured: ReadonlySet<string>;
  readonly #headers = new Map<string, readonly string[]>();

  /** @param exposed names of further headers that a page may read. */
  constructor(settings: CrossOriginSettings, exposed: readonly string[] = []) {
    this.#exposed = [...exposed, ...EXPOSED].join(', ');
    this.#any = settings.allowOrigin.includes('*');
    this.#configured = new Set(settings.allowOrigin);
  }

  allows(origin: string): boolean {
    if (this.#any) return true;
    return this.#configured.size > 0 ? this.#configured.has(origin) : LOOPBACK.test(origin);
  }

  /**
   * Headers for the answer to `origin`. With `cacheable`, also the ones an answer to nobody in
   * particular needs, so that a cache does not hand it to a page that asked from elsewhere.
   */
  headersFor(origin: string | undefined, cacheable: boolean): readonly string[] {
    if (origin === undefined) {
      if (!cacheable) return NONE;
      return this.#any ? this.#remember('*') : VARY;
    }
    if (!this.allows(origin)) return VARY;
    return this.#headers.get(origin) ?? this.#remember(this.#any ? '*' : origin);
  }

  /**
   * Throws `ORIGIN_NOT_ALLOWED` for a write a page of a foreign origin sends. A page this server
   * is reached through has an origin of the same host, whatever scheme a proxy turned it into.
   * A browser that hides the origin still tells in `Sec-Fetch-Site` that it is a foreign one.
   */
  admitWrite(origin: string | undefined, host: string | undefined, fetchSite?: string): void {
    if (origin === undefined) {
      if (fetchSite === undefined || OWN_SITE.has(fetchSite) || this.#any) return;
      throw new HoldfastError('ORIGIN_NOT_ALLOWED', 'pages of other sites may not write here');
    }
    if (this.allows(origin)) return;
    const ownHost = WEB_ORIGIN.exec(origin)?.[1];
    if (ownHost !== undefined && ownHost.toLowerCase() === host?.toLowerCase()) return;
    throw new HoldfastError('ORIGIN_NOT_ALLOWED', 'pages of this origin may not write here');
  }

  #remember(allowed: string): readonly string[] {
    const known = this.#headers.get(allowed);
    if (known !== undefined) return known;
    const headers = [
      'Access-Control-Allow-Origin',
      allowed,
      'Access-Control-Expose-Headers',
      this.#exposed,
      ...(this.#any ? [] : VARY),
    ];
    if (this.#headers.size >= MAX_REMEMBERED) this.#headers.clear();
    this.#headers.set(allowed, headers);
    return headers;
  }
}
