/**
 * Many clients read, write, and write under conditions, all at once, over HTTP: what they are told
 * has an order in which one register after another would have told it (linearizability).
 */
import {
  checkLinearizable,
  type Operation,
  operationsByKey,
  SeededRandom,
  type SequentialModel,
} from '@holdfast/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openNode, type HoldfastNode } from '../../src/index.ts';
import { ApiWitness } from './api-witness.ts';

type Condition = 'none' | 'absent' | 'present' | readonly number[];

interface Input {
  readonly kind: 'get' | 'put' | 'del';
  readonly key: string;
  readonly text: string;
  readonly condition: Condition;
}

interface Output {
  readonly status: number;
  /** Of a get what was there; of a put the new version. */
  readonly version: number;
  readonly text: string;
  readonly changed: boolean;
}

/** What is there; version 0: nothing. */
interface Register {
  readonly version: number;
  readonly text: string;
}

const NOTHING: Register = { version: 0, text: '' };

function holds(condition: Condition, { version }: Register): boolean {
  if (condition === 'none') return true;
  if (condition === 'absent') return version === 0;
  return version > 0 && (condition === 'present' || condition.includes(version));
}

const register: SequentialModel<Register, Input, Output> = {
  initial: NOTHING,
  isRead: ({ input, output }) => input.kind === 'get' || output?.status === 412,
  key: ({ version, text }) => `${version} ${text}`,
  step(state, { input, output }) {
    const { kind, text, condition } = input;
    if (output === undefined) throw new Error('every request was answered');
    const { status, version } = output;
    if (kind === 'get') {
      const same = version === state.version && output.text === state.text;
      return (status === 404 ? state.version === 0 : same) ? [state] : [];
    }
    if (status === 412) return holds(condition, state) ? [] : [state];
    if (!holds(condition, state)) return [];
    if (kind === 'del') return output.changed === state.version > 0 ? [NOTHING] : [];
    return version > state.version ? [{ version, text }] : [];
  },
};

const CLIENTS = 8;
const ROUNDS = 60;
const KEYS = ['a', 'b/c', '__proto__'];

let node: HoldfastNode;
let api: ApiWitness;
beforeAll(async () => {
  node = await openNode({ memory: true });
  api = await ApiWitness.of((await node.listen({ port: 0 })).url);
});
afterAll(() => node.close());

class Client {
  readonly #name: string;
  readonly #store: string;
  readonly #random: SeededRandom;
  readonly #known = new Map<string, number[]>();

  constructor(name: string, store: string, seed: number) {
    this.#name = name;
    this.#store = store;
    this.#random = new SeededRandom(seed);
  }

  async run(history: Operation<Input, Output>[], clock: { now: number }): Promise<void> {
    for (let n = 0; n < ROUNDS; n++) {
      const input = this.#choose(n);
      const invoked = clock.now++;
      const output = await this.#ask(input);
      history.push({ client: this.#name, input, output, invoked, returned: clock.now++ });
      if (output.version > 0) {
        this.#known.set(
          input.key,
          [output.version, ...(this.#known.get(input.key) ?? [])].slice(0, 3),
        );
      }
    }
  }

  #choose(n: number): Input {
    const key = this.#pick(KEYS);
    const kind = this.#pick(['get', 'put', 'put', 'put', 'del'] as const);
    const known = this.#known.get(key) ?? [];
    const conditions: Condition[] = [
      'none',
      'present',
      known.slice(0, 1),
      known.slice(0, 1),
      known,
    ];
    if (kind === 'put') conditions.push('absent');
    const condition = kind === 'get' ? 'none' : this.#pick(conditions);
    const text = `${this.#name}.${n}`;
    return { kind, key, text, condition: condition.length === 0 ? 'none' : condition };
  }

  async #ask({ kind, key, text, condition }: Input): Promise<Output> {
    const method = kind === 'get' ? 'GET' : kind === 'put' ? 'PUT' : 'DELETE';
    const target = `${this.#store}/${encodeURIComponent(key)}`;
    const answer = await api.request(method, target, {
      headers: headersOf(condition),
      ...(kind === 'put' ? { body: text } : {}),
      timeoutMs: 60_000,
    });
    const { status, headers } = answer;
    return {
      status,
      version:
        status === 200 || status === 201 || status === 204
          ? Number(headers['holdfast-kv-version'] ?? 0)
          : 0,
      text: status === 200 ? answer.text : '',
      changed: headers['holdfast-kv-changed'] === 'true',
    };
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#random.integer(items.length)] as Item;
  }
}

function headersOf(condition: Condition): Record<string, string> {
  if (condition === 'none') return {};
  if (condition === 'absent') return { 'if-none-match': '*' };
  if (condition === 'present') return { 'if-match': '*' };
  return { 'if-match': condition.map((version) => `"${version}"`).join(', ') };
}

describe('conditional writes of many clients', () => {
  it.each([1, 2, 3, 4])(
    'are linearizable, seed %i',
    async (seed) => {
      const history: Operation<Input, Output>[] = [];
      const clock = { now: 0 };
      const clients = Array.from(
        { length: CLIENTS },
        (_, n) => new Client(`c${n}`, `/v1/kv/s${seed}`, seed * 100 + n),
      );
      await Promise.all(clients.map((client) => client.run(history, clock)));
      const statuses = new Set(history.map(({ output }) => output?.status));
      expect([...statuses]).toEqual(expect.arrayContaining([200, 201, 204, 404, 412]));
      for (const part of operationsByKey(history, ({ input }) => input.key).values()) {
        const verdict = checkLinearizable(register, part);
        expect(verdict.linearizable, JSON.stringify(verdict.stuck)).toBe(true);
      }
    },
    120_000,
  );

  it('of one version: one of fifty succeeds, and a counter that fifty raise loses nothing', async () => {
    const target = '/v1/kv/counter/n';
    await api.request('PUT', target, { body: '0' });
    const tag = String((await api.request('GET', target)).headers.etag);
    const races = await Promise.all(
      Array.from({ length: 50 }, () =>
        api.request('PUT', target, { body: '0', headers: { 'if-match': tag } }),
      ),
    );
    expect(races.filter(({ status }) => status === 204)).toHaveLength(1);
    expect(races.filter(({ status }) => status === 412)).toHaveLength(49);
    const raise = async (): Promise<void> => {
      for (;;) {
        const { text, headers } = await api.request('GET', target);
        const put = await api.request('PUT', target, {
          body: String(Number(text) + 1),
          headers: { 'if-match': String(headers.etag) },
        });
        if (put.status === 204) return;
      }
    };
    await Promise.all(Array.from({ length: 50 }, raise));
    expect((await api.request('GET', target)).text).toBe('50');
  }, 120_000);
});
