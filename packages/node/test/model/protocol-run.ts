/**
 * A real node beside the model: sends what the model is asked, compares every answer, and takes
 * both through time, restarts and crashes together.
 *
 * Invariants
 * 1. Nothing is in flight between two calls, but what a crash is to cut.
 * 2. An answer that was seen counts: after a crash, an unanswered request may have happened as a
 *    whole or not at all, and which of the two decides the model of everything later.
 */
import { SeededRandom, SimFs } from '@holdfast/testkit';
import { openNode, type HoldfastNode } from '../../src/index.ts';
import { ManualClock, type Time } from './manual-clock.ts';
import { encodePath, PATHS, START_MS, type MakeRequest } from './model-requests.ts';
import { ProtocolModel, type Expected, type ModelRequest } from './protocol-model.ts';

export interface RunSettings {
  readonly chunkBytes: number;
  /** A real connection in place of `node.fetch`. */
  readonly loopback: boolean;
}

export const LONG_POLL_SECONDS = 2;
const PATIENCE_MS = 5_000;
const BARRIER = 'zz';
const BASE = '/v1/stream/';

/** Compared on every answer: present with this value, or absent. */
const PROTOCOL_HEADERS = [
  'stream-next-offset',
  'stream-closed',
  'stream-up-to-date',
  'stream-ttl',
  'stream-expires-at',
  'stream-sse-data-encoding',
  'producer-epoch',
  'producer-seq',
  'producer-expected-seq',
  'producer-received-seq',
  'location',
];

export interface Seen {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
  readonly tag: string | undefined;
  readonly cursor: string | undefined;
  readonly caching: string;
}

/** How often something happened, over all runs: a model test that reaches nothing shows nothing. */
export const reached = new Map<string, number>();

export function reach(what: string): void {
  reached.set(what, (reached.get(what) ?? 0) + 1);
}

export class ProtocolRun {
  model: ProtocolModel;
  node!: HoldfastNode;
  readonly settings: RunSettings;
  readonly #time: Time = { wallMs: START_MS, elapsedMs: 0 };
  #clock!: ManualClock;
  #fs = new SimFs();
  #url = 'http://model.test';
  /** Entities of the model and the tags the node gave for them. */
  readonly #tags = new Map<string, string>();
  readonly #entities = new Map<string, string>();

  private constructor(settings: RunSettings) {
    this.settings = settings;
    this.model = new ProtocolModel(settings.chunkBytes, START_MS);
  }

  static async open(settings: RunSettings): Promise<ProtocolRun> {
    const run = new ProtocolRun(settings);
    await run.#openNode();
    const type = { 'content-type': 'application/json' };
    await run.ask({ method: 'PUT', path: BARRIER, headers: type });
    const body = { raw: Buffer.from('[1,22,333]'), elements: ['1', '22', '333'] };
    await run.ask({ method: 'PUT', path: 'a', headers: type, body });
    const text = { 'content-type': 'text/plain', 'stream-ttl': '60' };
    await run.ask({ method: 'PUT', path: 'b', headers: text });
    return run;
  }

  // -- requests --------------------------------------------------------------------------------

  /** Sends the request and expects the model's answer. */
  async ask(request: ModelRequest): Promise<void> {
    await this.#learn(request);
    const seen = await this.send(request);
    this.expectSame(request, this.model.ask(request), seen);
  }

  /** Asks without the condition first, so that the tag it is about is known. */
  async #learn(request: ModelRequest): Promise<void> {
    const { 'if-none-match': condition, ...headers } = request.headers;
    if (condition !== undefined) await this.ask({ ...request, headers });
  }

  send(request: ModelRequest): Promise<Seen> {
    return withPatience(this.open(request).then((response) => this.seenIn(response)));
  }

  open(request: ModelRequest, live?: string): Promise<Response> {
    const query = new URLSearchParams();
    if (request.offset !== undefined) query.set('offset', request.offset);
    const search = [query.toString(), live].filter(Boolean).join('&');
    const headers = { ...request.headers };
    const condition = headers['if-none-match'];
    if (condition !== undefined) headers['if-none-match'] = this.#withTags(condition);
    const url = `${this.#url}${BASE}${encodePath(request.path)}${search && `?${search}`}`;
    return this.raw(url, {
      method: request.method,
      headers,
      ...(request.body === undefined ? {} : { body: request.body.raw }),
    });
  }

  raw(url: string, init: RequestInit = {}): Promise<Response> {
    const whole = url.startsWith('/') ? this.#url + url : url;
    return this.settings.loopback ? fetch(whole, init) : this.node.fetch(new Request(whole, init));
  }

  async seenIn(response: Response): Promise<Seen> {
    const headers: Record<string, string> = {};
    for (const name of PROTOCOL_HEADERS) {
      const value = response.headers.get(name);
      if (value !== null) headers[name] = name === 'location' ? pathOf(value) : value;
    }
    const body = Buffer.from(await response.arrayBuffer());
    const type = response.headers.get('content-type');
    const isProblem = response.status >= 400;
    if (isProblem && body.length > 0) expectProblem(response.status, type, body);
    else if (type !== null && !isProblem) headers['content-type'] = type;
    return {
      status: response.status,
      headers,
      body,
      tag: response.headers.get('etag') ?? undefined,
      cursor: response.headers.get('stream-cursor') ?? undefined,
      caching: response.headers.get('cache-control') ?? '',
    };
  }

  expectSame(request: ModelRequest, expected: Expected, seen: Seen): void {
    const difference = this.differenceOf(expected, seen);
    if (difference !== undefined) throw new Error(`${showRequest(request)}: ${difference}`);
    reach(`${request.method} ${expected.status}`);
    if (expected.entity !== undefined && seen.tag !== undefined) {
      this.#tags.set(expected.entity, seen.tag);
      this.#entities.set(seen.tag, expected.entity);
    }
  }

  /** What is not as expected, if anything. */
  differenceOf(expected: Expected, seen: Seen): string | undefined {
    const wanted = JSON.stringify([expected.status, sorted(expected.headers)]);
    const found = JSON.stringify([seen.status, sorted(seen.headers)]);
    if (wanted !== found) return `expected ${wanted}, got ${found} ${shown(seen.body)}`;
    if (expected.status < 400) {
      const body = expected.body ?? Buffer.alloc(0);
      if (!body.equals(seen.body)) return `expected body ${shown(body)}, got ${shown(seen.body)}`;
    }
    return this.#tagDifference(expected, seen) ?? cachingDifference(expected, seen);
  }

  #tagDifference({ entity }: Expected, { tag }: Seen): string | undefined {
    if ((entity === undefined) !== (tag === undefined)) return `entity ${entity}, tag ${tag}`;
    if (entity === undefined || tag === undefined) return undefined;
    const knownTag = this.#tags.get(entity) ?? tag;
    if (knownTag !== tag) return `tag of ${entity} was ${knownTag}, is ${tag}`;
    const knownEntity = this.#entities.get(tag) ?? entity;
    if (knownEntity !== entity) return `tag ${tag} stood for ${knownEntity}, now for ${entity}`;
    return undefined;
  }

  #withTags(condition: string): string {
    return condition.replace(/<[^>]*>/g, (entity) => this.#tags.get(entity) ?? '"unknown"');
  }

  /** Several at once: there is an order in which the model gives all these answers. */
  async burst(requests: readonly ModelRequest[]): Promise<void> {
    for (const request of requests) await this.#learn(request);
    const seen = await Promise.all(requests.map((request) => this.send(request)));
    const differences: string[] = [];
    for (const order of permutations(requests.map((_, i) => i))) {
      const model = this.model.clone();
      const expected = order.map((i) => [i, model.ask(requests[i] as ModelRequest)] as const);
      const difference = expected
        .map(([i, answer]) => this.differenceOf(answer, seen[i] as Seen))
        .find((found) => found !== undefined);
      if (difference === undefined) {
        for (const [i, answer] of expected) {
          this.expectSame(requests[i] as ModelRequest, answer, seen[i] as Seen);
        }
        if (differences.length > 0) reach('burst out of order');
        this.model = model;
        return;
      }
      differences.push(`[${order.join()}] ${difference}`);
    }
    const sent = requests.map(showRequest).join('\n  ');
    throw new Error(`no order explains the answers to\n  ${sent}\n${differences.join('\n')}`);
  }

  // -- time, restarts, crashes -----------------------------------------------------------------

  async seconds(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const before = JSON.stringify(this.model.streams.map((s) => [s.key, s.softDeleted]));
      this.#clock.advance(1000);
      this.model.second();
      const after = JSON.stringify(this.model.streams.map((s) => [s.key, s.softDeleted]));
      if (before === after) continue;
      reach('reaped');
      await this.#barrier();
    }
  }

  /** The wall clock is set; nothing else moves. */
  jump(byMs: number): void {
    this.#time.wallMs += byMs;
    this.model.jump(byMs);
  }

  async checkpoint(): Promise<void> {
    await this.node.checkpoint();
  }

  async restart(): Promise<void> {
    await this.node.close();
    await this.#openNode();
    this.model.restarted(true);
    await this.#checkHeads(this.model);
  }

  /** @param make a request that gets `turns` turns of the event loop before the end. */
  async crash(
    end: { readonly power: boolean; readonly seed: number; readonly turns: number },
    make: MakeRequest | undefined,
    tell: (what: string) => void,
  ): Promise<void> {
    if (this.settings.loopback) return this.restart();
    const candidates = [this.model];
    if (make !== undefined) {
      const request = make(this.model);
      tell(showRequest(request));
      const ahead = this.model.clone();
      const expected = ahead.ask(request);
      let seen: Seen | undefined;
      const open = (seenNow: Seen): void => void (seen = seenNow);
      this.send(request).then(open, () => undefined);
      for (let i = 0; i < end.turns; i++) await turn();
      if (seen === undefined) candidates.unshift(ahead);
      else {
        reach('crash after the answer');
        this.expectSame(request, expected, seen);
        candidates[0] = ahead;
      }
    }
    this.#fs = end.power ? this.#fs.powerCut(new SeededRandom(end.seed)) : this.#fs.kill();
    await this.#openNode();
    for (const candidate of candidates) candidate.restarted(false);
    await this.#choose(candidates);
  }

  /** Everything there is, in the list and byte by byte. */
  async check(): Promise<void> {
    await this.checkList({});
    for (const path of PATHS) {
      let offset: string | undefined;
      for (;;) {
        const request: ModelRequest = {
          method: 'GET',
          path,
          headers: {},
          ...(offset === undefined ? {} : { offset }),
        };
        const expected = this.model.ask(request);
        this.expectSame(request, expected, await this.send(request));
        offset = expected.headers['stream-next-offset'];
        if (offset === undefined || expected.headers['stream-up-to-date'] === 'true') break;
      }
    }
    const problems = await this.node.verify();
    if (problems.length > 0) throw new Error(`verify: ${JSON.stringify(problems)}`);
  }

  async checkList(asked: { prefix?: string; after?: string; limit?: string }): Promise<void> {
    const query = new URLSearchParams(asked);
    const response = await this.raw(`/v1/streams?${query.toString()}`);
    const expected = this.model.list(asked);
    const seen = (await response.json()) as { streams: Record<string, unknown>[]; next?: string };
    for (const stream of seen.streams ?? []) delete stream['updatedAt'];
    const found = JSON.stringify(seen.streams === undefined ? { status: response.status } : seen);
    if (found !== JSON.stringify(expected)) {
      throw new Error(
        `list ${query.toString()}: expected ${JSON.stringify(expected)}, got ${found}`,
      );
    }
  }

  /** Time and disk are given back. */
  async end(): Promise<void> {
    await this.node.close();
    this.#clock.end();
  }

  async #openNode(): Promise<void> {
    const before = this.#clock as ManualClock | undefined;
    before?.end();
    this.#clock = new ManualClock(this.#time);
    this.node = await openNode(
      {
        dir: '/data',
        shardCount: 2,
        maxChunkBytes: this.settings.chunkBytes,
        longPollTimeoutMs: LONG_POLL_SECONDS * 1000,
      },
      { fileSystem: this.#fs, clock: this.#clock },
    );
    if (!this.settings.loopback) return;
    this.#url = (await this.node.listen({ port: 0 })).url.replace(/\/$/, '');
  }

  /** Later in the log than all that time has set off. */
  async #barrier(): Promise<void> {
    await this.ask({
      method: 'POST',
      path: BARRIER,
      headers: { 'content-type': 'application/json' },
      body: { raw: Buffer.from('1'), elements: ['1'] },
    });
  }

  async #choose(candidates: readonly ProtocolModel[]): Promise<void> {
    const differences: string[] = [];
    for (const candidate of candidates) {
      try {
        await this.#checkHeads(candidate);
        if (candidates.length > 1)
          reach(differences.length > 0 ? 'crash: not there' : 'crash: there');
        this.model = candidate;
        return;
      } catch (error) {
        differences.push(String(error));
      }
    }
    throw new Error(`after the crash nothing fits:\n${differences.join('\n')}`);
  }

  async #checkHeads(model: ProtocolModel): Promise<void> {
    for (const path of [...PATHS, BARRIER]) {
      const request: ModelRequest = { method: 'HEAD', path, headers: {} };
      this.expectSame(request, model.ask(request), await this.send(request));
    }
  }
}

export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A server that says nothing must not hang the test: it is told as a failure. */
export async function withPatience<Result>(promise: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer')), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function showRequest(request: ModelRequest): string {
  const { method, path, headers, offset, body } = request;
  const query = offset === undefined ? '' : `?offset=${offset}`;
  const content = body === undefined ? '' : ` ${shown(body.raw)}`;
  return `${method} ${path}${query} ${JSON.stringify(headers)}${content}`;
}

export function shown(bytes: Buffer): string {
  const text = JSON.stringify(bytes.toString('latin1'));
  return text.length > 120 ? `${text.slice(0, 120)}… (${bytes.length} bytes)` : text;
}

function sorted(headers: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1));
}

function pathOf(location: string): string {
  const { pathname } = new URL(location, 'http://model.test');
  return decodeURIComponent(pathname.slice(BASE.length));
}

function expectProblem(status: number, type: string | null, body: Buffer): void {
  const problem = JSON.parse(body.toString()) as { status?: number; code?: string };
  const whole = type === 'application/problem+json' && problem.status === status && problem.code;
  if (!whole) throw new Error(`not a problem document: ${status} ${type} ${shown(body)}`);
}

/** A cache never outlives a stream, and never keeps "nothing yet". */
function cachingDifference({ freshSeconds }: Expected, { caching }: Seen): string | undefined {
  if (freshSeconds === undefined) return undefined;
  const numbers = [...caching.matchAll(/(?:max-age|stale-while-revalidate)=(\d+)/g)];
  const kept = numbers.reduce((sum, match) => sum + Number(match[1]), 0);
  const bounded = kept <= Math.max(0, freshSeconds);
  const stated = numbers.length > 0 || /no-store|no-cache/.test(caching);
  return bounded && stated ? undefined : `fresh for ${freshSeconds} s, but ${caching}`;
}

function permutations(items: readonly number[]): number[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item) =>
    permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  );
}
