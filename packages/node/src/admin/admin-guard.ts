/**
 * Who may administer a node. Until there is access control: programs on its own machine, and no
 * page in a browser, wherever it came from.
 *
 * Invariants
 * 1. Everything is refused that is not known to be allowed: no peer address (a request that came
 *    through `fetch`), an address or a host name of others, a proxy that says it speaks for others
 *    or that speaks HTTP/1.0, as some do that say nothing. `insecure` changes none of it. A proxy on
 *    this machine that shows no sign of being one is not told from a program.
 * 2. `holdfast-admin` cannot be sent by a page without a preflight, and no preflight is granted.
 */
import type { IncomingMessage } from 'node:http';
import { HoldfastError } from '@holdfast/core';
import { hostName, isLoopbackAddress } from '../host-check.ts';

const ADMIN_HEADER = 'holdfast-admin';

/** What proxies add: behind one, the peer is not who asks. */
const FORWARDED =
  /^(?:forwarded|via|x-forwarded.*|x-real-ip|x-(?:original|client|cluster).*|.*-client-ip|cf-.*)$/;
/** Of the page itself, or no page at all. */
const OWN_SITE: ReadonlySet<string> = new Set(['same-origin', 'none']);

/** @throws `ADMIN_REFUSED`, `ORIGIN_NOT_ALLOWED` */
export function admitAdministration(request: IncomingMessage): void {
  const { headers, socket } = request;
  const peer = socket.remoteAddress;
  if (peer === undefined || !isLoopbackAddress(peer)) {
    throw refused('only from the machine of the node');
  }
  const host = hostName(headers.host ?? '');
  if (host === undefined || !isLoopbackAddress(host)) {
    throw refused('only under a name of this machine, like localhost');
  }
  const old = request.httpVersionMajor === 1 && request.httpVersionMinor === 0;
  if (old || Object.keys(headers).some((name) => FORWARDED.test(name))) {
    throw refused('not through a proxy');
  }
  admitPage(request);
  if (request.method === 'OPTIONS') throw refused('to no web page'); // I2
  if (headers[ADMIN_HEADER] !== '1') throw refused(`with the header ${ADMIN_HEADER}: 1`);
}

/** A page that this node itself served may ask, if it can send the header. */
function admitPage({ headers }: IncomingMessage): void {
  const { origin } = headers;
  const site = headers['sec-fetch-site'];
  const foreignSite = site !== undefined && !OWN_SITE.has(String(site));
  if (foreignSite || (origin !== undefined && origin !== `http://${headers.host ?? ''}`)) {
    throw new HoldfastError('ORIGIN_NOT_ALLOWED', 'pages of other sites may not administer');
  }
}

function refused(reason: string): HoldfastError {
  return new HoldfastError('ADMIN_REFUSED', `administration is answered ${reason}`);
}
