/**
 * The head of a request as the listener sees it, before anybody acts on it: its version, how many
 * headers there are, the form of its target, and the host it is meant for. Read from the raw list,
 * which shows what was repeated; `request.headers` is made only for those who ask for it.
 */
import type { IncomingMessage } from 'node:http';
import { HoldfastError, LIMITS } from '@holdfast/core';
import { hostName, type HostCheck } from './host-check.ts';

const SLASH = 0x2f;
const HOST = 'host';
const CODING = 'transfer-encoding';
/** A target that names its host as well, as proxies are sent (RFC 9112, 3.2.2). */
const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/is;

/** Throws what is wrong with it. Afterwards the target starts with a slash, or is `*`. */
export function admitHead(request: IncomingMessage, hosts: HostCheck): void {
  const { rawHeaders } = request;
  if (request.httpVersionMajor !== 1) {
    throw new HoldfastError('INVALID_HEADER', 'this version of HTTP is not spoken here');
  }
  if (rawHeaders.length > 2 * LIMITS.maxRequestHeaders) {
    throw new HoldfastError('HEADERS_TOO_LARGE', `more than ${LIMITS.maxRequestHeaders} headers`);
  }
  const at = readFraming(request);
  const url = request.url as string;
  if (url.charCodeAt(0) !== SLASH && url !== '*') toOriginForm(request, url, at);
  admitHost(request, at < 0 ? undefined : rawHeaders[at], hosts);
}

/**
 * Where the value of `Host` is, or -1. Throws when there are two, or when the body is framed in a
 * way that somebody in front of us may read differently.
 */
function readFraming({ rawHeaders, httpVersionMinor }: IncomingMessage): number {
  let at = -1;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (name.length === HOST.length && name.toLowerCase() === HOST) {
      if (at >= 0) throw new HoldfastError('INVALID_HEADER', 'header is given twice name=Host');
      at = i + 1;
    } else if (name.length === CODING.length && name.toLowerCase() === CODING) {
      admitCoding(rawHeaders[i + 1] as string, httpVersionMinor);
    }
  }
  return at;
}

function admitCoding(value: string, httpVersionMinor: number): void {
  if (httpVersionMinor === 0) {
    throw new HoldfastError('INVALID_HEADER', 'HTTP/1.0 has no transfer-encoding');
  }
  if (value.toLowerCase() !== 'chunked') {
    throw new HoldfastError('UNSUPPORTED_ENCODING', 'transfer-encoding is not chunked alone');
  }
}

/** The host in such a target counts, and the header does not (RFC 9112, 3.2.2). */
function toOriginForm(request: IncomingMessage, url: string, at: number): void {
  const match = ABSOLUTE.exec(url);
  if (match === null) throw new HoldfastError('INVALID_PATH', 'the target is no path of a URL');
  const [, authority = '', rest = ''] = match;
  if (rest.includes('#')) throw new HoldfastError('INVALID_PATH', 'the target has a fragment');
  request.url = rest.startsWith('/') ? rest : `/${rest}`;
  if (at < 0) return; // refused by `admitHost`, or so old that nothing is checked
  request.rawHeaders[at] = authority;
  request.headers.host = authority;
}

function admitHost(request: IncomingMessage, host: string | undefined, hosts: HostCheck): void {
  if (host === undefined) {
    if (request.httpVersionMinor === 0) return; // no browser speaks it
    throw new HoldfastError('INVALID_HEADER', 'Host is missing');
  }
  if (hosts.accepts(host)) return;
  if (hostName(host) === undefined) {
    throw new HoldfastError('INVALID_HEADER', 'Host is no name with a port');
  }
  throw new HoldfastError('HOST_NOT_ALLOWED', 'this node does not answer to this host name');
}
