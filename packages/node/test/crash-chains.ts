/**
 * Lives of streams for the kill test: requests that are sent one after the other, and what is
 * there after each of them. A kill may leave the state before or after the one in flight, and
 * nothing in between.
 */
import { OCTETS } from './http-request.ts';

export interface ChainRequest {
  readonly method: string;
  readonly stream: string;
  readonly expected: readonly number[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Chain {
  readonly streams: readonly string[];
  readonly steps: readonly ChainRequest[];
  /** Of all streams, before the first step and after each. */
  readonly states: readonly string[];
  /** Another chain uses the same paths after this one. */
  readonly pathsAreReused: boolean;
  /** Steps acknowledged. */
  done: number;
}

export interface ChainKind {
  begin(writer: number, number: number): Chain;
}

const CREATED = [200, 201];
const APPENDED = [200, 204];
/** A retry of a delete that did happen finds the stream gone or absent. */
const DELETED = [204, 404, 410];
const TTL = { 'stream-ttl': '3600' };

/** Create, append, close, fork, fork the fork, and delete from the source on: one cascade. */
function beginForks(writer: number, number: number, keep: boolean): Chain {
  const source = `chain/${writer}/${number}`;
  const fork = `${source}/fork`;
  const grandchild = `${fork}/fork`;
  const append = (seq: number, body: string, close: boolean): ChainRequest => ({
    method: 'POST',
    stream: source,
    expected: APPENDED,
    headers: {
      ...OCTETS,
      'producer-id': 'chain',
      'producer-epoch': '0',
      'producer-seq': String(seq),
      ...(close ? { 'stream-closed': 'true' } : {}),
    },
    body,
  });
  const put = (stream: string, headers: Record<string, string>): ChainRequest => ({
    method: 'PUT',
    stream,
    expected: CREATED,
    headers,
  });
  const remove = (stream: string): ChainRequest => ({
    method: 'DELETE',
    stream,
    expected: DELETED,
  });
  const steps = [
    put(source, { ...OCTETS, ...TTL }),
    append(0, 'first;', false),
    append(1, 'last;', true),
    put(fork, { 'stream-forked-from': `/v1/stream/${source}` }),
    put(grandchild, {
      'stream-forked-from': `/v1/stream/${fork}`,
      'stream-fork-offset': '0000000000000001_0000000000000006',
      'stream-fork-sub-offset': '2',
    }),
    remove(source),
    remove(fork),
    remove(grandchild),
  ];
  const states = [
    '404 404 404',
    'open: 404 404',
    'open:first; 404 404',
    'closed:first;last; 404 404',
    'closed:first;last; open:first;last; 404',
    'closed:first;last; open:first;last; open:first;la',
    '410 open:first;last; open:first;la',
    '410 410 open:first;la',
    '404 404 404',
  ];
  // A kept grandchild reads through two deleted ancestors in all cycles to come.
  const length = keep ? steps.length - 1 : steps.length;
  return {
    streams: [source, fork, grandchild],
    steps: steps.slice(0, length),
    states,
    pathsAreReused: false,
    done: 0,
  };
}

/** The same path again and again: nothing of an earlier life may come back. */
function beginAgain(writer: number, number: number): Chain {
  const stream = `again/${writer}`;
  const headers = { ...OCTETS, ...TTL };
  return {
    streams: [stream],
    steps: [
      { method: 'PUT', stream, expected: CREATED, headers, body: `${number};` },
      {
        method: 'POST',
        stream,
        expected: APPENDED,
        headers: { ...OCTETS, 'producer-id': 'p', 'producer-epoch': '0', 'producer-seq': '0' },
        body: 'more;',
      },
      { method: 'DELETE', stream, expected: DELETED },
    ],
    states: ['404', `open:${number};`, `open:${number};more;`, '404'],
    pathsAreReused: true,
    done: 0,
  };
}

export const CHAINS: readonly ChainKind[] = [
  { begin: (writer, number) => beginForks(writer, number, false) },
  { begin: beginAgain },
  { begin: (writer, number) => beginForks(writer, number, true) },
  { begin: beginAgain },
];
