/**
 * Where webhooks may go: to addresses that anybody on the internet can reach, and, while the
 * operator allows it, to this machine. A client chooses the URL and the node stands inside the
 * operator's network, so everything that is not plainly public is refused.
 *
 * `checkUrl` judges what a URL says by itself; `checkAddress` judges what its name turned out to
 * be, when the connection is made (`NodeWebhookSender`). Both throw `WEBHOOK_URL_REJECTED`.
 */
import { isIP } from 'node:net';
import { HoldfastError, LIMITS } from '@holdfast/core';
import ipaddr from 'ipaddr.js';

/** Names that mean this network, whatever a resolver says of them (RFC 6761, 6762, 8375, 9476). */
const LOCAL_DOMAINS: readonly string[] = [
  'localhost',
  'local',
  'localdomain',
  'internal',
  'intranet',
  'private',
  'corp',
  'home',
  'lan',
  'arpa',
  'alt',
  'onion',
  // Not in a local domain, and nothing else than the metadata of a cloud.
  'metadata.goog',
  'metadata.tencentyun.com',
];

/** A public address that inside one cloud is its control plane. */
const CONTROL_PLANES: ReadonlySet<string> = new Set(['168.63.129.16']);

/** Everything that is given out to the public so far (RFC 4291). */
const GLOBAL_UNICAST: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2000::'), 3];

/** Below are other services; a request in their syntax is not for a client to choose. */
const FIRST_FREE_PORT = 1024;
const HTTPS_PORT = 443;

// No other character may be in a URL as it is written, and a URL parser drops or turns some of
// them (tabs, line breaks, backslashes), so that two parsers may see two hosts.
const PLAIN_TEXT = /^[!-[\]-~]+$/;
const AUTHORITY = /^https?:\/\/([^/?#]+)/i;

export interface WebhookAddressSettings {
  /** `localhost`, `127.0.0.0/8` and `[::1]`, with `http:` too: for development. */
  readonly allowLoopback: boolean;
}

export class WebhookAddressPolicy {
  readonly #allowLoopback: boolean;

  constructor(settings: WebhookAddressSettings) {
    this.#allowLoopback = settings.allowLoopback;
  }

  /** The URL, if it may be called as far as can be told without a lookup. */
  checkUrl(text: string): URL {
    if (text.length > LIMITS.maxWebhookUrlBytes) throw rejected(`too long length=${text.length}`);
    const authority = AUTHORITY.exec(text)?.[1];
    if (!PLAIN_TEXT.test(text) || authority === undefined || !URL.canParse(text)) {
      throw rejected('not an https URL with a host');
    }
    if (authority.includes('@')) throw rejected('it has a user name or password');
    const url = new URL(text);
    const { hostname } = url;
    const address = literalAddress(hostname);
    const loopback = address === undefined ? hostname === 'localhost' : isLoopback(address);
    if (loopback) {
      if (this.#allowLoopback) return url;
      throw rejected('it is an address of this machine; allowLoopbackWebhooks would allow it');
    }
    if (url.protocol !== 'https:') throw rejected('only https is called');
    if (address === undefined) checkName(hostname);
    else checkPublic(address);
    checkPort(url);
    return url;
  }

  /** @param address what `url` leads to, as a resolver or a socket gives it */
  checkAddress(url: URL, address: string): void {
    const isThisMachine = isLoopback(address);
    // A public name that points here is no exception: its owner is not the operator.
    const named = url.hostname === 'localhost' || literalAddress(url.hostname) !== undefined;
    if (isThisMachine && named && this.#allowLoopback) return;
    if (url.hostname === 'localhost') throw rejected('localhost is not this machine here');
    checkPublic(address);
  }
}

/** The address a host of a parsed URL is, without brackets; `undefined` for a name. */
function literalAddress(hostname: string): string | undefined {
  if (hostname.startsWith('[')) return hostname.slice(1, -1);
  // The URL parser has turned every spelling of IPv4 (octal, hex, short) into this one.
  return ipaddr.IPv4.isValidFourPartDecimal(hostname) ? hostname : undefined;
}

function isLoopback(address: string): boolean {
  return isIP(address) !== 0 && ipaddr.parse(address).range() === 'loopback';
}

function checkName(name: string): void {
  if (name.endsWith('.')) throw rejected('its host ends with a dot');
  if (!name.includes('.')) throw rejected('its host is a name without a domain');
  for (const domain of LOCAL_DOMAINS) {
    if (name === domain || name.endsWith(`.${domain}`)) {
      throw rejected('its host is a name of a local network');
    }
  }
}

function checkPublic(address: string): void {
  if (isIP(address) === 0 || address.includes('%')) throw rejected('it leads to no address');
  const parsed = ipaddr.parse(address);
  const range: string = parsed.range();
  // The ranges of the library are a list of what is special; outside of 2000::/3 nothing else is
  // public either. Addresses that carry an IPv4 one inside (mapped, 6to4, NAT64, Teredo) are
  // refused whatever that is.
  const isPublic =
    range === 'unicast' &&
    (parsed.kind() === 'ipv4' || parsed.match(GLOBAL_UNICAST)) &&
    !CONTROL_PLANES.has(address);
  if (!isPublic) throw rejected(`it leads to an address that is not public range=${range}`);
}

function checkPort(url: URL): void {
  const port = url.port === '' ? HTTPS_PORT : Number(url.port);
  if (port !== HTTPS_PORT && port < FIRST_FREE_PORT) {
    throw rejected(`its port is below ${FIRST_FREE_PORT} and not ${HTTPS_PORT}`);
  }
}

function rejected(why: string): HoldfastError {
  return new HoldfastError('WEBHOOK_URL_REJECTED', `this URL may not be called: ${why}`);
}
