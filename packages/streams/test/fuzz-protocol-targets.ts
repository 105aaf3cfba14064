/** The parsers of what strangers send: paths, headers, queries, types, JSON bodies. */
import { isUtf8 } from 'node:buffer';
import { LIMITS } from '@holdfast/core';
import type { FuzzTarget } from '@holdfast/testkit';
import { contentTypeKey, sameContentType } from '../src/content-type.ts';
import { splitJson } from '../src/messages.ts';
import { formatPosition, parsePosition, type Position } from '../src/position.ts';
import { CrossOriginPolicy } from '../src/http/cross-origin-policy.ts';
import { compareDecimal, CursorSource } from '../src/protocol/cursor.ts';
import { refuseCodings } from '../src/http/codings.ts';
import { matchesAny } from '../src/http/entity-tags.ts';
import { entityTag } from '../src/protocol/etag.ts';
import { factsOf, parseContentType } from '../src/protocol/media-type.ts';
import { parseReadQuery, type ReadQuery } from '../src/protocol/read-query.ts';
import {
  parseClosed,
  parseExpiry,
  parseProducer,
  parseStreamSeq,
  readFields,
} from '../src/protocol/request-headers.ts';
import { parseStreamPath, queryStart } from '../src/protocol/stream-path.ts';
import type { Messages } from '../src/stream-store.ts';
import { TestClock } from './test-clock.ts';

const BASE = '/v1/stream/';
const TOKEN = '0000000000000003_0000000000000042';

const pathTarget: FuzzTarget<string> = {
  name: 'stream-path',
  corpus: ['a', 'a/b/c', '%F0%9F%98%80/x', '.h/..g', 'constructor?x=1', 'x'.repeat(1_020)].map(
    latin1,
  ),
  tokens: [
    '%2e',
    '%2E%2e',
    '%2f',
    '%5c',
    '%00',
    '%',
    '/',
    '//',
    '..',
    '%c0%af',
    '__ds',
    '%ED%A0%80',
  ],
  codes: ['INVALID_PATH', 'ROUTE_NOT_FOUND', 'URL_TOO_LONG'],
  parse(input) {
    const target = BASE + input.toString('latin1');
    return parseStreamPath(target, queryStart(target), BASE);
  },
  check(path) {
    if (Buffer.byteLength(path) > LIMITS.maxPathBytes) throw new Error('too long');
    if (/[\u0000-\u001f\u007f-\u009f\\]/.test(path)) throw new Error('a character of attacks');
    const segments = path.split('/');
    if (segments.some((each) => each === '' || each === '.' || each === '..')) {
      throw new Error('a segment that a file system would resolve');
    }
    if (segments[0] === '__ds') throw new Error('a reserved name');
    const again = BASE + segments.map(encodeURIComponent).join('/');
    if (again.length <= LIMITS.maxUrlBytes && parseStreamPath(again, again.length, BASE) !== path) {
      throw new Error('another path when encoded again');
    }
  },
};

/** Names and values on lines, by turns. */
const headerTarget: FuzzTarget = {
  name: 'request-headers',
  corpus: [
    'Host\na\nStream-TTL\n60\nProducer-Id\np\nProducer-Epoch\n0\nProducer-Seq\n9007199254740991',
    'Stream-Expires-At\n2030-01-02T03:04:05.678+09:30\nStream-Closed\ntrue\nStream-Seq\n001',
    'Content-Encoding\nidentity\nTransfer-Encoding\nchunked\nIf-None-Match\n"a"\nif-none-match\n*',
    '__proto__\nx\nconstructor\ny\nStream-Expires-At\n0000-02-29T23:59:60Z',
  ].map(latin1),
  tokens: [
    '\n',
    '9007199254740992',
    '-0',
    '1e9',
    '0x1',
    '+1',
    '00',
    'gzip',
    'T24:00:00Z',
    '+24:00',
  ],
  codes: ['INVALID_HEADER', 'INVALID_PRODUCER', 'INVALID_TTL', 'UNSUPPORTED_ENCODING'],
  parse(input) {
    const fields = readFields(input.toString('latin1').split('\n'));
    return {
      closed: parseClosed(fields.streamClosed),
      expiry: parseExpiry(fields),
      producer: parseProducer(fields),
      streamSeq: parseStreamSeq(fields.streamSeq),
      codings: refuseCodings(fields),
    };
  },
  check(value) {
    const { expiry, producer } = value as {
      expiry: ReturnType<typeof parseExpiry>;
      producer: ReturnType<typeof parseProducer>;
    };
    const numbers = [expiry.ttlSeconds, expiry.expiresAtMs, producer?.epoch, producer?.seq];
    if (!numbers.every((each) => each === undefined || Number.isSafeInteger(each))) {
      throw new Error(`not a safe integer: ${numbers.join()}`);
    }
    const { expiresAtText: text, expiresAtMs: ms } = expiry;
    // Year 0 to 9999, up to a day of time zone around it.
    if (text === undefined || ms === undefined) return;
    if (ms < -62_167_305_600_000 || ms > 253_402_387_200_000) throw new Error(`${text} is ${ms}`);
  },
};

const queryTarget: FuzzTarget<ReadQuery> = {
  name: 'read-query',
  corpus: [
    `?offset=${TOKEN}&live=sse&cursor=17`,
    '?offset=-1',
    '?offset=now&live=long-poll&x=',
  ].map(latin1),
  tokens: ['&', '=', '%', '%26', 'offset', 'live=', 'cursor=', 'offset=now', '%ff', '&&', '='],
  codes: ['INVALID_OFFSET', 'INVALID_QUERY'],
  parse: (input) => parseReadQuery(input.toString('latin1'), 0),
  check({ offset, live, cursor }) {
    if (typeof offset === 'object') parsePosition(formatPosition(offset));
    if (live !== undefined && live !== 'sse' && live !== 'long-poll') throw new Error('live');
    if (cursor !== undefined && !/^\d{1,64}$/.test(cursor)) throw new Error('cursor');
  },
};

const positionTarget: FuzzTarget<Position> = {
  name: 'position',
  corpus: [latin1(TOKEN), latin1('9007199254740991_9007199254740991')],
  codes: ['INVALID_OFFSET'],
  parse: (input) => parsePosition(input.toString('latin1')),
  check(position, input) {
    if (formatPosition(position) !== input.toString('latin1')) throw new Error('not the same');
  },
};

const mediaTypeTarget: FuzzTarget<string> = {
  name: 'media-type',
  corpus: ['application/json; charset=utf-8', 'text/plain;a="b\\"c;d";;', 'image/png', 'a/b'].map(
    latin1,
  ),
  tokens: [';', '"', '\\', '=', ' ', '\t', '/', ';charset=utf-8', 'text/html', '\r\n'],
  codes: ['INVALID_HEADER'],
  parse: (input) => parseContentType(input.toString('latin1')),
  check(type) {
    if (type.length > LIMITS.maxContentTypeBytes) throw new Error('too long');
    if (/[\r\n\0]/.test(type)) throw new Error('would split a header');
    const upper = type.replace(/[a-z]/g, (letter) => letter.toUpperCase());
    if (!sameContentType(type, upper)) throw new Error('case counts');
    contentTypeKey(type);
    const { headers } = factsOf(type);
    const active = /^(text\/(html|xml)|image\/svg|application\/(xhtml|javascript))/i.test(type);
    if (active && !headers.includes('Content-Security-Policy')) throw new Error('not guarded');
  },
};

const TAG = entityTag({ id: 7, createdAtMs: 1 }, parsePosition(TOKEN), parsePosition(TOKEN), false);

const etagTarget: FuzzTarget<boolean> = {
  name: 'etag',
  corpus: [TAG, `W/${TAG}`, `"x", ${TAG}`, '*', '"a,b"'].map(latin1),
  tokens: [',', '"', 'W/', TAG, '*', ' '],
  codes: [],
  parse: (input) => matchesAny(input.toString('latin1'), TAG),
  check(matches, input) {
    const text = input.toString('latin1');
    if (matches && !text.includes(TAG) && text.trim() !== '*') throw new Error('matches nothing');
  },
};

const clock = new TestClock();
const cursors = new CursorSource(clock, { bytes: (n) => Buffer.alloc(n), integer: () => 0 });

const cursorTarget: FuzzTarget<{ sent: string | undefined; next: string }> = {
  name: 'cursor',
  corpus: ['1', '0'.repeat(40), '9'.repeat(64), '123456', cursors.current()].map(latin1),
  codes: ['INVALID_QUERY', 'INVALID_OFFSET'],
  tokens: ['&cursor=', '%30', '&offset=1'],
  parse(input) {
    const { cursor: sent } = parseReadQuery(`?cursor=${input.toString('latin1')}`, 0);
    return { sent, next: cursors.next(sent) };
  },
  check({ sent, next }) {
    if (!/^\d+$/.test(next)) throw new Error(`not digits: ${next}`);
    if (compareDecimal(next, cursors.current()) < 0) throw new Error('behind the clock');
    const ahead = sent !== undefined && compareDecimal(sent, cursors.current()) >= 0;
    if (ahead && compareDecimal(next, sent) <= 0) throw new Error('a reader would loop');
  },
};

const jsonTarget: FuzzTarget<Messages> = {
  name: 'json-messages',
  corpus: [
    '[{"a":[1,-2.5e+3,true,null],"b":"\\u00e4\\ud83d\\ude00"},[],{}, "x" ]',
    ' {"k" : "v\\n", "k":0.0e-1}',
    '"ä€😀"',
    '-0',
    ' [ ] ',
    '[[[[[[1]]]]],12345678901234567890,1.0,"\\/"]',
  ].map((text) => Buffer.from(text)),
  tokens: [
    '[',
    ']',
    '{',
    '}',
    ',',
    ':',
    '"',
    '\\',
    '\\u',
    '\\ud800',
    'e',
    '-',
    '00',
    'nul',
    ' \t\r\n',
  ],
  codes: ['EMPTY_BODY', 'INVALID_JSON'],
  parse: (input) => splitJson(Buffer.from(input)),
  check({ bytes, lengths }, input) {
    // Joined by brackets they are the body's values, with every byte of them kept.
    const texts: string[] = [];
    let at = 0;
    for (const length of lengths) {
      if (bytes[at + length - 1] !== 0x2c) throw new Error('a message ends in a comma');
      const text = bytes.toString('utf8', at, at + length - 1);
      if (text !== text.trim()) throw new Error('white space around a message');
      if (!input.includes(text)) throw new Error('bytes that were not sent');
      texts.push(text);
      at += length;
    }
    if (at !== bytes.length) throw new Error('lengths do not sum up');
    const value: unknown = JSON.parse(input.toString('utf8'));
    const sent = Array.isArray(value) ? value : [value];
    const kept = texts.map((text) => JSON.parse(text) as unknown);
    if (JSON.stringify(kept) !== JSON.stringify(sent)) throw new Error('other values');
  },
};

/** The same from the other side: what is refused, `JSON.parse` refuses too, but for three reasons. */
const jsonRefusalTarget: FuzzTarget = {
  ...jsonTarget,
  name: 'json-refusals',
  codes: [],
  parse(input) {
    try {
      splitJson(Buffer.from(input));
    } catch (error) {
      if (!isUtf8(input) || /nested too deep|lone surrogate/.test(String(error))) return;
      const text = input.toString('utf8');
      // Of an empty array there is nothing to append; a BOM is no white space in either.
      if (/^[ \t\r\n]*\[[ \t\r\n]*\][ \t\r\n]*$/.test(text)) return;
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch {
        return;
      }
      throw new Error(`refused what JSON.parse takes: ${String(error)} ${typeof value}`, {
        cause: error,
      });
    }
  },
  check: () => undefined,
};

const policies = [
  new CrossOriginPolicy({ allowOrigin: [] }),
  new CrossOriginPolicy({ allowOrigin: ['https://app.example'] }),
];

/** An origin and a host, on two lines. */
const originTarget: FuzzTarget<{ origin: string; host: string; admitted: boolean[] }> = {
  name: 'cross-origin',
  corpus: [
    'http://localhost:3000\nlocalhost:4437',
    'https://app.example\nnode.example',
    'http://node.example\nnode.example',
    'null\nnode.example',
  ].map(latin1),
  tokens: ['localhost', '.evil.example', '@', '://', '127.0.0.1', '[::1]', 'null', '#', ':80'],
  codes: [],
  parse(input) {
    const [origin = '', host = ''] = input.toString('latin1').split('\n');
    const admitted = policies.map((policy) => {
      try {
        policy.admitWrite(origin, host);
        return true;
      } catch (error) {
        if ((error as { code?: string }).code === 'ORIGIN_NOT_ALLOWED') return false;
        throw error;
      }
    });
    return { origin, host, admitted };
  },
  check({ origin, host, admitted }) {
    const [loopback, configured] = admitted;
    const own = ['http', 'https'].some(
      (scheme) => origin.toLowerCase() === `${scheme}://${host.toLowerCase()}`,
    );
    if (configured === true && !own && origin !== 'https://app.example') throw new Error('foreign');
    if (loopback !== true || own) return;
    const { hostname } = new URL(origin);
    if (!/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)) throw new Error('not loopback');
  },
};

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

export const PROTOCOL_TARGETS: readonly FuzzTarget[] = [
  pathTarget,
  headerTarget,
  queryTarget,
  positionTarget,
  mediaTypeTarget,
  etagTarget,
  cursorTarget,
  jsonTarget,
  jsonRefusalTarget,
  originTarget,
];
