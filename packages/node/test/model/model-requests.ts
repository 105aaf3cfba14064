/**
 * Requests for the model test. What a request aims at is chosen by index and made concrete
 * against the model when it is sent, so that histories stay meaningful while they shrink.
 */
import fc from 'fast-check';
import {
  compare,
  format,
  placeAt,
  tailOf,
  entityOf,
  type Body,
  type ModelRequest,
  type ModelStream,
  type Place,
  type ProtocolModel,
} from './protocol-model.ts';

export type MakeRequest = (model: ProtocolModel) => ModelRequest;

export const PATHS = ['a', 'b', 'c/d', 'constructor', '__proto__', 'ü x'];
export const START_MS = Date.UTC(2026, 0, 1);

/** One in `n`. */
export const rarely = (n: number): fc.Arbitrary<boolean> => fc.nat(n - 1).map((i) => i === n - 1);

/** The first, and one time in twelve another. */
function mostly<T>(usual: T, ...others: T[]): fc.Arbitrary<T> {
  return fc.oneof(
    { weight: 11, arbitrary: fc.constant(usual) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );
}

/** Mostly a stream that is there, or for creations a free path. */
const aTarget = fc.record({
  path: fc.constantFrom('a', 'a', 'a', ...PATHS),
  wanted: mostly('usable', 'any', 'gone', 'forked'),
});
type Target = { readonly path: string; readonly wanted: string };

function pathIn(model: ProtocolModel, { path, wanted }: Target, free = false): string {
  const from = PATHS.indexOf(path);
  const turned = [...PATHS.slice(from), ...PATHS.slice(0, from)];
  const first = (fits: (stream: ModelStream) => boolean, there = true): string | undefined =>
    turned.find((candidate) => {
      const stream = model.find(candidate);
      return (stream !== undefined && fits(stream)) === there;
    });
  const isUsable = (stream: ModelStream): boolean => !stream.softDeleted && !model.isOver(stream);
  if (wanted === 'any') return path;
  if (wanted === 'gone') return first((stream) => !isUsable(stream)) ?? path;
  if (wanted === 'forked') return first((stream) => model.forks(stream) > 0) ?? path;
  return first(isUsable, !free) ?? path;
}

// -- bodies --------------------------------------------------------------------------------------

const JSON_BODIES: readonly (readonly [raw: string, elements: readonly string[] | undefined])[] = [
  ['1', ['1']],
  ['[1,2]', ['1', '2']],
  [' [ "é" ,\n{"a":[1, 2]} ]\n', ['"é"', '{"a":[1, 2]}']],
  ['[[1,2],[3]]', ['[1,2]', '[3]']],
  ['[[[1]]]', ['[[1]]']],
  ['{"big":12345678901234567890,\n"f":1.0}', ['{"big":12345678901234567890,\n"f":1.0}']],
  [`["${'x'.repeat(60)}",null]`, [`"${'x'.repeat(60)}"`, 'null']],
  [`"${'y'.repeat(3000)}"`, [`"${'y'.repeat(3000)}"`]],
];
const BAD_JSON = ['[]', '[1,', 'nope', ' '];
const TEXTS = ['a', 'bc\n\nd', ' lead', 'x\r\ny', 'ü', `${'z'.repeat(70)}`, 'w'.repeat(3000)];

const aJsonBody: fc.Arbitrary<Body> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc
      .constantFrom(...JSON_BODIES)
      .map(([raw, elements]) => ({ raw: Buffer.from(raw), elements })),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(...BAD_JSON)
      .map((raw) => ({ raw: Buffer.from(raw), elements: raw === '[]' ? [] : undefined })),
  },
);
const aTextBody: fc.Arbitrary<Body> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .constantFrom(...TEXTS)
      .map((raw) => ({ raw: Buffer.from(raw), elements: undefined })),
  },
  { weight: 1, arbitrary: fc.constant({ raw: Buffer.from([0xff, 0, 0x0a]), elements: undefined }) },
);
const bodies = fc.record({ json: aJsonBody, text: aTextBody, there: fc.nat(19).map((n) => n > 0) });
type Bodies = { readonly json: Body; readonly text: Body; readonly there: boolean };

function bodyFor(json: boolean, from: Bodies): { body?: Body } {
  return from.there ? { body: json ? from.json : from.text } : {};
}

// -- places --------------------------------------------------------------------------------------

export interface ChosenPlace {
  readonly message: number;
  readonly plus: number;
  readonly wild: string | undefined;
  readonly sentinel: string | undefined;
}

/** Mostly a boundary of messages, sometimes beside one, sometimes nonsense. */
export const aPlace: fc.Arbitrary<ChosenPlace> = fc.record({
  message: fc.nat(14),
  plus: fc.constantFrom(0, 0, 0, 0, 1, 2, 9),
  wild: fc.option(
    fc.constantFrom(
      '0',
      '',
      '-2',
      'NOW',
      '9999999999999999_9999999999999999',
      '0000000000000001_0000000000000001',
      '0000000000000099_0000000000000000',
    ),
    { freq: 14, nil: undefined },
  ),
  sentinel: fc.option(fc.constantFrom('-1', 'now'), { freq: 5, nil: undefined }),
});

export function offsetIn(model: ProtocolModel, path: string, place: ChosenPlace): string {
  if (place.sentinel !== undefined) return place.sentinel;
  if (place.wild !== undefined) return place.wild;
  const stream = model.find(path);
  if (stream === undefined) return format({ messages: 0, bytes: place.plus });
  const at = placeAt(stream.messages, Math.min(place.message, stream.messages.length));
  return format({ messages: at.messages, bytes: at.bytes + place.plus });
}

// -- requests ------------------------------------------------------------------------------------

const TYPES = [
  'application/json',
  'application/json',
  'application/json',
  'text/plain',
  'text/plain',
  'application/octet-stream',
  'Application/JSON; charset=utf-8',
  'text/html',
  undefined,
];

const NO_EXPIRY: Record<string, string> = {};
const EXPIRIES: readonly Record<string, string>[] = [
  { 'stream-ttl': '5' },
  { 'stream-ttl': '8' },
  { 'stream-ttl': '60' },
  { 'stream-expires-at': '2026-01-01T00:00:40Z' },
  { 'stream-expires-at': '2026-01-01T02:00:40.000+02:00' },
  { 'stream-expires-at': '2036-01-01T00:00:00Z' },
];
const ODD_EXPIRIES: readonly Record<string, string>[] = [
  { 'stream-ttl': '0' },
  { 'stream-ttl': '05' },
  { 'stream-ttl': '-1' },
  { 'stream-ttl': '1e3' },
  { 'stream-expires-at': '2025-12-31T23:59:59Z' },
  { 'stream-expires-at': '2026-01-01' },
  { 'stream-expires-at': 'tomorrow' },
  { 'stream-ttl': '5', 'stream-expires-at': '2027-01-01T00:00:00Z' },
];
const anExpiry = fc.oneof(
  { weight: 12, arbitrary: fc.constant(NO_EXPIRY) },
  { weight: 7, arbitrary: fc.constantFrom(...EXPIRIES) },
  { weight: 1, arbitrary: fc.constantFrom(...ODD_EXPIRIES) },
);

const aClosed = mostly('', 'true', 'TRUE', 'yes');

function closing(value: string): Record<string, string> {
  return value === '' ? {} : { 'stream-closed': value };
}

const creates: fc.Arbitrary<MakeRequest> = fc
  .record({
    to: aTarget,
    type: fc.constantFrom(...TYPES),
    badType: rarely(30),
    expiry: anExpiry,
    closed: aClosed,
    content: bodies,
    hasContent: fc.boolean(),
  })
  .map(({ to, type, badType, expiry, closed, content, hasContent }) => (model) => {
    const given = badType ? 'nonsense' : type;
    const json = given?.toLowerCase().startsWith('application/json') === true;
    return {
      method: 'PUT',
      path: pathIn(model, to, true),
      headers: {
        ...(given === undefined ? {} : { 'content-type': given }),
        ...expiry,
        ...closing(closed),
      },
      ...(hasContent ? bodyFor(json, content) : {}),
    };
  });

const forks: fc.Arbitrary<MakeRequest> = fc
  .record({
    to: aTarget,
    source: aTarget,
    place: fc.option(aPlace, { freq: 4, nil: undefined }),
    sub: fc.constantFrom('', '', '', '0', '1', '1', '2', '59'),
    odd: rarely(16),
    type: mostly(undefined, 'same', 'text/plain', 'application/json'),
    expiry: anExpiry,
    closed: aClosed,
    content: bodies,
    hasContent: rarely(3),
  })
  .map(
    ({ to, source: from, place, odd, sub, type, expiry, closed, content, hasContent }) =>
      (model) => {
        const at = place && !odd ? { ...place, plus: 0, wild: undefined } : place;
        const path = pathIn(model, from);
        const source = model.find(path);
        const given = type === 'same' ? source?.contentType : type;
        return {
          method: 'PUT',
          path: pathIn(model, to, true),
          headers: {
            'stream-forked-from': `/v1/stream/${encodePath(path)}`,
            ...(at === undefined ? {} : { 'stream-fork-offset': offsetIn(model, path, at) }),
            ...(sub === '' ? {} : { 'stream-fork-sub-offset': sub }),
            ...(given === undefined ? {} : { 'content-type': given }),
            ...expiry,
            ...closing(closed),
          },
          ...(hasContent ? bodyFor(source?.json ?? true, content) : {}),
        };
      },
  );

/** The request that made a stream once more, whole or with one thing changed. */
const recreates: fc.Arbitrary<MakeRequest> = fc
  .record({
    to: aTarget,
    change: fc.constantFrom('', '', '', 'type', 'ttl', 'closed', 'offset', 'sub'),
    content: bodies,
  })
  .map(({ to, change, content }) => (model) => {
    const path = pathIn(model, to);
    const stream = model.find(path);
    if (stream === undefined) return { method: 'PUT', path, headers: {} };
    const headers = { ...requestOf(stream) };
    if (change === 'type') headers['content-type'] = 'text/csv';
    if (change === 'ttl') headers['stream-ttl'] = '77';
    if (change === 'closed') headers['stream-closed'] = stream.closed ? 'false' : 'true';
    if (change === 'offset' && stream.fork !== undefined) {
      headers['stream-fork-offset'] = format(stream.fork.base);
    }
    if (change === 'sub' && stream.fork !== undefined) headers['stream-fork-sub-offset'] = '1';
    return { method: 'PUT', path, headers, ...bodyFor(stream.json, content) };
  });

function requestOf(stream: ModelStream): Record<string, string> {
  const { fork, ttlSeconds, expiresAt } = stream;
  const ownExpiry = fork?.inheritsExpiry !== true;
  return {
    'content-type': stream.contentType,
    ...(stream.closed ? { 'stream-closed': 'true' } : {}),
    ...(ttlSeconds !== undefined && ownExpiry ? { 'stream-ttl': String(ttlSeconds) } : {}),
    ...(expiresAt !== undefined && ownExpiry ? { 'stream-expires-at': expiresAt.text } : {}),
    ...(fork === undefined
      ? {}
      : {
          'stream-forked-from': `/v1/stream/${encodePath(fork.sourcePath)}`,
          ...(fork.at === undefined ? {} : { 'stream-fork-offset': format(fork.at) }),
          'stream-fork-sub-offset': String(fork.subOffset),
        }),
  };
}

/** A producer that goes on, tries again, skips, starts over, or was replaced. */
const aProducer = fc.record({
  id: fc.constantFrom('p', 'p', 'p', 'q', '__proto__'),
  move: fc.oneof(
    { weight: 5, arbitrary: fc.constant('next') },
    {
      weight: 4,
      arbitrary: fc.constantFrom(
        'again',
        'older',
        'gap',
        'epoch',
        'epoch',
        'late',
        'zombie',
        'zombie',
      ),
    },
    { weight: 1, arbitrary: fc.constantFrom('bad', 'part') },
  ),
});

function producerHeaders(
  stream: ModelStream | undefined,
  who: { readonly id: string; readonly move: string } | undefined,
): Record<string, string> {
  if (who === undefined) return {};
  const { epoch, seq } = stream?.producers.get(who.id) ?? { epoch: 0, seq: -1 };
  const headers = (e: number, s: number): Record<string, string> => ({
    'producer-id': who.id,
    'producer-epoch': String(Math.max(0, e)),
    'producer-seq': String(Math.max(0, s)),
  });
  switch (who.move) {
    case 'next':
      return headers(epoch, seq + 1);
    case 'again':
      return headers(epoch, seq);
    case 'older':
      return headers(epoch, seq - 1);
    case 'gap':
      return headers(epoch, seq + 2);
    case 'epoch':
      return headers(epoch + 1, 0);
    case 'late':
      return headers(epoch + 1, 1);
    case 'zombie':
      return headers(epoch - 1, seq + 1);
    case 'bad':
      return { ...headers(epoch, 0), 'producer-seq': '9007199254740992' };
    default:
      return { 'producer-id': who.id, 'producer-seq': '0' };
  }
}

const appendParts = fc.record({
  to: aTarget,
  type: mostly<AppendParts['type']>('same', 'upper', 'other', 'none'),
  content: bodies,
  closed: mostly('', 'true', 'True', 'no'),
  who: fc.option(aProducer, { freq: 2, nil: undefined }),
  seq: mostly(undefined, '1', '2', '10', 'b', ''),
});

export function appendTo(model: ProtocolModel, path: string, parts: AppendParts): ModelRequest {
  const { type, content, closed, who, seq } = parts;
  const stream = model.find(path);
  const same = stream?.contentType ?? 'application/json';
  const other = same.startsWith('text/plain') ? 'application/json' : 'text/plain';
  const given = { same, upper: same.toUpperCase(), other, none: undefined }[type];
  return {
    method: 'POST',
    path,
    headers: {
      ...(given === undefined ? {} : { 'content-type': given }),
      ...closing(closed),
      ...producerHeaders(stream, who),
      ...(seq === undefined ? {} : { 'stream-seq': seq }),
    },
    ...bodyFor(stream?.json ?? true, content),
  };
}
export interface AppendParts {
  readonly type: 'same' | 'upper' | 'other' | 'none';
  readonly content: Bodies;
  readonly closed: string;
  readonly who: { readonly id: string; readonly move: string } | undefined;
  readonly seq: string | undefined;
}

const appends: fc.Arbitrary<MakeRequest> = appendParts.map(
  ({ to, ...parts }) =>
    (model) =>
      appendTo(model, pathIn(model, to), parts),
);

const reads: fc.Arbitrary<MakeRequest> = fc
  .record({
    of: aTarget,
    place: fc.option(aPlace, { freq: 6, nil: undefined }),
    condition: fc.constantFrom('', '', '', 'tag', 'weak', 'list', 'older', 'any', 'foreign'),
  })
  .map(({ of, place, condition }) => (model) => {
    const path = pathIn(model, of);
    const offset = place === undefined ? undefined : offsetIn(model, path, place);
    const match = conditionIn(model, path, offset, condition);
    return {
      method: 'GET',
      path,
      headers: match === undefined ? {} : { 'if-none-match': match },
      ...(offset === undefined ? {} : { offset }),
    };
  });

function conditionIn(
  model: ProtocolModel,
  path: string,
  offset: string | undefined,
  condition: string,
): string | undefined {
  const stream = model.find(path);
  if (stream === undefined || condition === '') return undefined;
  const from = placeOf(offset) ?? { messages: 0, bytes: 0 };
  const slice = model.slice(stream, from);
  const entity = entityOf(stream, slice);
  switch (condition) {
    case 'tag':
      return entity;
    case 'weak':
      return `W/${entity}`;
    case 'list':
      return `"x", ${entity} , "y"`;
    case 'older':
      return entityOf(stream, { ...slice, closed: !slice.closed });
    case 'any':
      return '*';
    default:
      return '"foreign"';
  }
}

function placeOf(offset: string | undefined): Place | undefined {
  const match = /^(\d{16})_(\d{16})$/.exec(offset ?? '');
  return match === null ? undefined : { messages: Number(match[1]), bytes: Number(match[2]) };
}

const plain = (method: 'HEAD' | 'DELETE' | 'OPTIONS'): fc.Arbitrary<MakeRequest> =>
  fc.tuple(aTarget, rarely(3)).map(([to, forked]) => (model) => {
    const target = method === 'DELETE' && forked ? { ...to, wanted: 'forked' } : to;
    return { method, path: pathIn(model, target), headers: {} };
  });

/** Any request that writes. */
export const aWrite: fc.Arbitrary<MakeRequest> = fc.oneof(
  { weight: 3, arbitrary: creates },
  { weight: 4, arbitrary: forks },
  { weight: 1, arbitrary: recreates },
  { weight: 12, arbitrary: appends },
  { weight: 2, arbitrary: plain('DELETE') },
);

export const aRequest: fc.Arbitrary<MakeRequest> = fc.oneof(
  { weight: 14, arbitrary: aWrite },
  { weight: 8, arbitrary: reads },
  { weight: 3, arbitrary: plain('HEAD') },
  { weight: 1, arbitrary: plain('OPTIONS') },
);

export interface SlideChoice {
  readonly path: string;
  readonly parts: AppendParts;
  readonly method: ModelRequest['method'];
  /** Seconds from the request to the look at what is left. */
  readonly rest: number;
}

export const SLIDE_TTL_SECONDS = 4;

/** One request just before a sliding window ends, and a look whether it moved the window. */
export const aSlideChoice: fc.Arbitrary<SlideChoice> = fc.record({
  path: fc.constantFrom(...PATHS),
  parts: appendParts.map(({ to: _to, ...parts }) => parts),
  method: fc.constantFrom('HEAD', 'GET', 'POST', 'PUT', 'OPTIONS'),
  rest: fc.constantFrom(1, SLIDE_TTL_SECONDS - 1, SLIDE_TTL_SECONDS),
});

export function slideRequest(model: ProtocolModel, choice: SlideChoice): ModelRequest {
  const { path, method, parts } = choice;
  if (method === 'POST') return appendTo(model, path, parts);
  const stream = model.find(path);
  const again = method === 'PUT' && stream !== undefined;
  return { method, path, headers: again ? requestOf(stream) : {} };
}

/** A few appends of one producer, the last of them not always the next. */
export const aSession: fc.Arbitrary<{ path: MakePath; steps: readonly AppendParts[] }> = fc.record({
  path: aTarget.map(
    (to): MakePath =>
      (model) =>
        pathIn(model, to),
  ),
  steps: fc
    .tuple(
      fc.array(sessionStep(fc.constant('next')), { minLength: 1, maxLength: 3 }),
      fc.array(sessionStep(fc.constantFrom('again', 'older', 'gap', 'epoch', 'late', 'zombie')), {
        maxLength: 3,
      }),
    )
    .map(([first, then]) => [...first, ...then]),
});
type MakePath = (model: ProtocolModel) => string;

function sessionStep(move: fc.Arbitrary<string>): fc.Arbitrary<AppendParts> {
  return fc.tuple(appendParts, move).map(([{ to: _to, ...parts }, chosen]) => ({
    ...parts,
    type: 'same',
    seq: undefined,
    who: { id: 'p', move: chosen },
  }));
}

export interface LiveChoice {
  readonly pathIn: (model: ProtocolModel) => string;
  readonly place: ChosenPlace;
  /** `current`: the interval of now. */
  readonly cursor: string | undefined;
  /** What happens while the reader waits; `path` is the reader's. */
  readonly meanwhile: readonly MakeMeanwhile[];
}

type MakeMeanwhile = (model: ProtocolModel, path: string) => ModelRequest;

const closeOnly: MakeMeanwhile = (_model, path) => ({
  method: 'POST',
  path,
  headers: { 'stream-closed': 'true' },
});
const deleteIt: MakeMeanwhile = (_model, path) => ({ method: 'DELETE', path, headers: {} });

const meanwhile: fc.Arbitrary<MakeMeanwhile> = fc.oneof(
  {
    weight: 6,
    arbitrary: appendParts.map(({ to: _to, ...parts }): MakeMeanwhile => {
      return (model, path) => appendTo(model, path, parts);
    }),
  },
  { weight: 3, arbitrary: aWrite },
  { weight: 1, arbitrary: fc.constant(closeOnly) },
  { weight: 1, arbitrary: fc.constant(deleteIt) },
);

export const aLiveChoice: fc.Arbitrary<LiveChoice> = fc.record({
  pathIn: aTarget.map((of) => (model: ProtocolModel) => pathIn(model, of)),
  // Mostly the tail: that is where live readers wait.
  place: fc.oneof(
    { weight: 3, arbitrary: aPlace.map((place) => ({ ...place, message: 99, wild: undefined })) },
    { weight: 1, arbitrary: aPlace },
  ),
  cursor: fc.constantFrom(
    undefined,
    undefined,
    'current',
    'current',
    '0',
    '1',
    '99999999',
    '999999999999999999999',
    'x',
  ),
  meanwhile: fc.array(meanwhile, { maxLength: 3 }),
});

/** Whether a waiter at `position` is woken by a stream whose tail is now `tail`. */
export function isBehind(position: Place, stream: ModelStream): boolean {
  return compare(tailOf(stream), position) > 0 || stream.closed;
}

export function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}
