/**
 * Which `Host` names and web origins may call. On loopback a web page can reach the node
 * through a DNS name that its owner points at 127.0.0.1 (DNS rebinding), and any page can send
 * simple cross-origin writes: both are stopped by looking at what the browser says.
 */
import { isIPv4 } from 'node:net';

/** True for addresses that only this machine can reach. */
export function isLoopbackAddress(host: string): boolean {
  const name = host.toLowerCase();
  // Brackets are for IPv6; an address to bind to has none.
  const inBrackets = name.startsWith('[') && name.endsWith(']');
  const six = inBrackets ? name.slice(1, -1) : name;
  if (six === '::1') return true;
  if (six.startsWith('::ffff:')) return isLoopbackIPv4(six.slice('::ffff:'.length));
  if (inBrackets) return false;
  return name === 'localhost' || name.endsWith('.localhost') || isLoopbackIPv4(name);
}

function isLoopbackIPv4(text: string): boolean {
  return isIPv4(text) && text.startsWith('127.');
}

/** The name in a `Host` header without its port; `undefined` when it is not one. */
export function hostName(header: string): string | undefined {
  const match = /^(\[[0-9A-Fa-f:.]+\]|[^:/@\s[\]]+)(?::\d{1,5})?$/.exec(header);
  return match?.[1]?.toLowerCase();
}

export class HostCheck {
  readonly #names: ReadonlySet<string>;
  readonly #loopbackOnly: boolean;
  /** The last accepted header: nearly every request carries the same one. */
  #lastAccepted: string | undefined;

  /** @param loopbackOnly the listener is bound to loopback: other names are refused. */
  constructor(allowedHosts: readonly string[], loopbackOnly: boolean) {
    this.#names = new Set(allowedHosts.map((name) => name.toLowerCase()));
    this.#loopbackOnly = loopbackOnly;
  }

  accepts(header: string): boolean {
    if (header === this.#lastAccepted) return true;
    const name = hostName(header);
    if (name === undefined || !this.#acceptsName(name)) return false;
    this.#lastAccepted = header;
    return true;
  }

  #acceptsName(name: string): boolean {
    if (this.#names.has(name)) return true;
    if (this.#loopbackOnly) return isLoopbackAddress(name);
    return this.#names.size === 0;
  }
}
