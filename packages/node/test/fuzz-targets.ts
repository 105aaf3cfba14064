/** The parsers of the node: hosts, and whole requests through the routes without a socket. */
import { isIP } from 'node:net';
import { HoldfastError } from '@holdfast/core';
import type { FuzzTarget } from '@holdfast/testkit';
import { hostName, HostCheck } from '../src/host-check.ts';
import type { HoldfastNode } from '../src/index.ts';
import { openNode } from '../src/index.ts';
import {
  describeLocation,
  type ObjectStoreLocation,
  parseObjectStoreLocation,
} from '../src/object-store-location.ts';
import { WebhookAddressPolicy } from '../src/webhook-address-policy.ts';

const checks = [new HostCheck([], true), new HostCheck(['app.example'], true)];

const hostTarget: FuzzTarget<{ header: string; accepted: boolean[] }> = {
  name: 'host-check',
  corpus: ['localhost:4437', '127.0.0.1', '[::1]:80', 'app.example', '[::ffff:127.0.0.1]'].map(
    (text) => Buffer.from(text),
  ),
  tokens: ['.evil.example', '@', ':', '[', ']', '::ffff:', '0177.0.0.1', '2130706433', ' ', '#'],
  codes: [],
  parse(input) {
    const header = input.toString('latin1');
    return { header, accepted: checks.map((check) => check.accepts(header)) };
  },
  check({ header, accepted }) {
    if (!accepted.includes(true)) return;
    const name = hostName(header) ?? '';
    if (/[\s/@?#\\]/.test(name)) throw new Error(`a name with more in it: ${name}`);
    // What a browser would connect to for this name is this machine, or the name that is allowed.
    const { hostname } = new URL(`http://${name}`);
    if (hostname === 'app.example' && accepted[0] === false) return;
    const own = /^(?:.*\.)?localhost$|^127\.\d+\.\d+\.\d+$|^\[::1\]$|^\[::ffff:7f[0-9a-f:]+\]$/;
    if (!own.test(hostname)) throw new Error(`${header} is not this machine: ${hostname}`);
  },
};

/** A place is shown as it is meant, and holds no credentials. */
const locationTarget: FuzzTarget<ObjectStoreLocation> = {
  name: 'object-store-location',
  corpus: [
    's3://bucket/a/b',
    's3://bucket',
    'file:///srv/a%20b',
    '/srv/backup',
    'backups/one',
    's3://key:secret@bucket/a',
  ].map((text) => Buffer.from(text)),
  tokens: ['s3://', 'file://', '@', ':', '/', '..', '?', '#', '%2f', '%00', '\\', ' '],
  codes: ['INVALID_SETTINGS'],
  maxBytes: 1024,
  parse: (input) => parseObjectStoreLocation(input.toString('utf8')),
  check(location, input) {
    const shown = describeLocation(location);
    if (JSON.stringify(parseObjectStoreLocation(shown)) !== JSON.stringify(location)) {
      throw new Error(`shown as another place: ${shown}`);
    }
    if (location.kind === 's3' && /[@?#]/.test(shown)) throw new Error(`credentials: ${shown}`);
    if (location.kind === 'folder' && /^s3:/i.test(input.toString('utf8'))) {
      throw new Error('a bucket that became a folder');
    }
  },
};

const webhooks = new WebhookAddressPolicy({ allowLoopback: false });

const webhookTarget: FuzzTarget<URL> = {
  name: 'webhook-url',
  corpus: [
    'https://hooks.example.com/a?b=c',
    'https://[2606:4700::1111]:8443/',
    'https://8.8.8.8/',
    'http://127.0.0.1:4437/',
    'https://user@host.example.com/',
  ].map((text) => Buffer.from(text)),
  tokens: [
    '@',
    '[::1]',
    '127.1',
    '0x7f000001',
    '2130706433',
    '%2f',
    '\\\\',
    '\t',
    'localhost',
    '.',
    '#',
  ],
  codes: ['WEBHOOK_URL_REJECTED'],
  parse: (input) => webhooks.checkUrl(input.toString('latin1')),
  check(url, input) {
    if (url.protocol !== 'https:' || url.username !== '' || url.password !== '') {
      throw new Error(`${url.href} is more than an address`);
    }
    const { hostname } = url;
    const inside = /^(127|10|0|169\.254|192\.168)\.|^(::|f[cde])/;
    const bare = hostname.replace(/^\[|\]$/g, '');
    const local = isIP(bare) === 0 ? /(^|\.)localhost\.?$/.test(bare) : inside.test(bare);
    if (local) throw new Error(`${hostname} is not public`);
    if (/[\s\\]/.test(input.toString('latin1')))
      throw new Error('another parser sees another host');
  },
};

let node: HoldfastNode | undefined;

/** Method, target, headers by turns of name and value, an empty line, a body. */
const requestTarget: FuzzTarget<number> = {
  name: 'routes',
  corpus: [
    'PUT\n/v1/stream/a\ncontent-type\napplication/json\n\n[{"a":1},2]',
    'POST\n/v1/stream/a\ncontent-type\napplication/json\nproducer-id\np\nproducer-epoch\n0\nproducer-seq\n0\n\n[1]',
    'GET\n/v1/stream/a?offset=-1\nif-none-match\n"x"\n\n',
    'GET\n/v1/stream/a?offset=now&live=long-poll&cursor=7\n\n',
    'HEAD\n/v1/stream/a\n\n',
    'PUT\n/v1/stream/b\nstream-forked-from\n/v1/stream/a\nstream-fork-offset\n-1\nstream-ttl\n60\n\n',
    'DELETE\n/v1/stream/b\norigin\nhttp://localhost:1\n\n',
    'OPTIONS\n/v1/stream/a\norigin\nhttp://localhost:1\naccess-control-request-method\nPUT\n\n',
    'GET\n/v1/streams?prefix=a&after=b&limit=10\n\n',
    'GET\n/readyz\n\n',
    'PUT\n/v1/kv/s/a/b\nif-match\n"1", W/"2"\nholdfast-kv-ttl-ms\n5000\n\nvalue',
    'PUT\n/v1/kv/s?key=a%2F..%2Fb\nif-none-match\n*\n\nvalue',
    'GET\n/v1/kv/s/a%20b\nif-none-match\n"1"\n\n',
    'GET\n/v1/kv/s?prefix=a&limit=3&order=created&reverse=true&values=text&token=AQ\n\n',
    'GET\n/v1/kv/s?watch=off&since=3\n\n',
    'GET\n/v1/kv?after=a&limit=2\n\n',
    'POST\n/v1/kv/s\ncontent-type\napplication/json\n\n{"operations":[{"type":"put","key":"a","text":"1","ifVersion":0,"ttlMs":5},{"type":"del","key":"b"},{"type":"put","key":"c","value":"AA==","expiresAt":"2030-01-01T00:00:00Z"}]}',
    'DELETE\n/v1/kv/s/a\nif-match\n*\n\n',
    'DELETE\n/v1/kv/s?prefix=a\n\n',
    'GET\n/openapi.json\n\n',
  ].map((text) => Buffer.from(text)),
  tokens: [
    '\n',
    '%00',
    '?limit=',
    '&limit=1001',
    'stream-closed\ntrue\n',
    'stream-expires-at\n1969-01-01T00:00:00Z\n',
    'stream-ttl\n9007199254740991\n',
    'stream-fork-sub-offset\n1\n',
    '__proto__\nx\n',
    '/v1/kv/',
    '?key=',
    '%ed%a0%80',
    '%2e%2e/',
    '"ifAbsent":true,',
    'holdfast-kv-expires-at\n0001-01-01T00:00:00Z\n',
    'if-match\n"1"\n',
    '0000000000000001_0000000000000004',
  ],
  codes: [],
  rareCodes: ['ABORTED'],
  cost: 4,
  allowedBytes: 64 * 1024 * 1024,
  maxBytes: 64 * 1024,
  async parse(input) {
    node ??= await openNode({ memory: true, longPollTimeoutMs: 1 });
    const request = requestOf(input);
    if (request === undefined) return 0;
    const response = await node.fetch(request);
    const body = Buffer.from(await response.arrayBuffer());
    if (response.status >= 500) {
      throw new HoldfastError('INTERNAL_ERROR', `status=${response.status} ${body.toString()}`);
    }
    if (response.status >= 400 && request.method !== 'HEAD') {
      const { code } = JSON.parse(body.toString()) as { code: unknown };
      if (typeof code !== 'string') throw new Error('an error without a code');
    }
    return response.status;
  },
};

/** `undefined` for what the Fetch API itself refuses. */
function requestOf(input: Buffer): Request | undefined {
  const end = input.indexOf('\n\n');
  const head = input
    .subarray(0, end < 0 ? input.length : end)
    .toString('latin1')
    .split('\n');
  const body = end < 0 ? Buffer.alloc(0) : input.subarray(end + 2);
  const [method = 'GET', target = '/', ...fields] = head;
  try {
    const headers = new Headers();
    for (let i = 0; i + 1 < fields.length; i += 2) {
      headers.append(fields[i] as string, fields[i + 1] as string);
    }
    const bodiless = method === 'GET' || method === 'HEAD' || body.length === 0;
    return new Request(`http://x${withoutEnd(target)}`, {
      method,
      headers,
      ...(bodiless ? {} : { body: new Uint8Array(body) }),
    });
  } catch {
    return undefined;
  }
}

/** What goes on until its client leaves is not asked for here. */
function withoutEnd(target: string): string {
  return target.replaceAll('live=sse', 'live=').replaceAll(/watch(?==sse|=&|=$|&|$)/g, 'wtch');
}

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  hostTarget,
  locationTarget,
  webhookTarget,
  requestTarget,
];
