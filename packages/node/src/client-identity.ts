/**
 * Who a request counts for. Today that is the address it comes from; an access token will take its
 * place, and this is where it will be looked at.
 *
 * Headers like `X-Forwarded-For` are not believed: anybody can write them. Behind a proxy on this
 * machine all clients come from loopback, which is exempt: let the proxy bound them.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { isIPv4, isIPv6 } from 'node:net';
import { isLoopbackAddress } from './host-check.ts';

/** `undefined`: nobody is counted. */
export type IdentityOf = (request: IncomingMessage) => string | undefined;

export const identityOf: IdentityOf = (request) => addressIdentity(request.socket);

/** Of a connection, before it has said anything. `undefined` for this machine and this process. */
export function addressIdentity(socket: Socket): string | undefined {
  const { remoteAddress } = socket;
  if (remoteAddress === undefined || remoteAddress === '127.0.0.1') return undefined;
  return isLoopbackAddress(remoteAddress) ? undefined : identityOfAddress(remoteAddress);
}

/** An IPv4 address is one client; of IPv6 the first 64 bits are, for anybody has all of the rest. */
export function identityOfAddress(address: string): string {
  if (isIPv4(address)) return address;
  const bare = address.split('%', 1)[0] as string;
  if (!isIPv6(bare)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = '', tail] = bare.split('::', 2);
  const front = head === '' ? [] : head.split(':');
  if (tail === undefined) return prefixOf(front);
  const back = tail === '' ? [] : tail.split(':');
  // A dotted end stands for two groups.
  const groups = back.length + (back.at(-1)?.includes('.') === true ? 1 : 0);
  const zeros = Array.from({ length: Math.max(0, 8 - front.length - groups) }, () => '0');
  return prefixOf([...front, ...zeros, ...back]);
}

function prefixOf(groups: readonly string[]): string {
  const prefix = groups.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, '').toLowerCase());
  return `${prefix.join(':')}::/64`;
}
