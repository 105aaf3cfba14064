/** An engine over a fake host, and short ways to speak to it. */
import { SILENT, type Logger } from '@holdfast/core';
import { splitBytes, splitJson } from '../src/messages.ts';
import type { Position } from '../src/position.ts';
import { createStreamEngine, type StreamEngine } from '../src/stream-engine.ts';
import type { StreamSettings } from '../src/stream-settings.ts';
import type {
  AppendRequest,
  AppendResult,
  CreateRequest,
  CreateResult,
  Messages,
  StreamSlice,
} from '../src/stream-store.ts';
import { type Durable, FakeHost } from './fake-host.ts';
import { TestClock } from './test-clock.ts';

const RANDOM = { bytes: (length: number) => Buffer.alloc(length), integer: () => 0 };

/** Splits as the protocol does. */
export function body(text: string): (json: boolean) => Messages {
  return (json) => (json ? splitJson(Buffer.from(text)) : splitBytes(Buffer.from(text)));
}

export class EngineFixture {
  readonly engine: StreamEngine;
  readonly host: FakeHost;
  readonly clock: TestClock;
  readonly settings: Partial<StreamSettings>;

  private constructor(
    engine: StreamEngine,
    host: FakeHost,
    clock: TestClock,
    settings: Partial<StreamSettings>,
  ) {
    this.engine = engine;
    this.host = host;
    this.clock = clock;
    this.settings = settings;
  }

  static async open(
    settings: Partial<StreamSettings> = {},
    durable?: Durable | number,
    clock: TestClock = new TestClock(),
    logger: Logger = SILENT,
  ): Promise<EngineFixture> {
    const engine = createStreamEngine({ clock, random: RANDOM, logger }, settings);
    const host = await FakeHost.open(engine, durable);
    return new EngineFixture(engine, host, clock, settings);
  }

  /** The process dies; commits in flight are lost, but for the first `kept`. */
  crash(kept = 0): Promise<EngineFixture> {
    this.engine.close();
    return EngineFixture.open(this.settings, this.host.durable({ kept }), this.clock);
  }

  create(path: string, request: Partial<CreateRequest> = {}): Promise<CreateResult> {
    const created = this.engine.create({ path, closed: false, ...request });
    this.host.settle();
    return created;
  }

  append(path: string, text?: string, request: Partial<AppendRequest> = {}): Promise<AppendResult> {
    const appended = this.send(path, text, request);
    this.host.settle();
    return appended;
  }

  /** Without making it durable. */
  send(path: string, text?: string, request: Partial<AppendRequest> = {}): Promise<AppendResult> {
    const messages = text === undefined ? {} : { messages: body(text) };
    return this.engine.append({ path, close: false, ...messages, ...request });
  }

  delete(path: string): Promise<void> {
    const deleted = this.engine.delete(path);
    this.host.settle();
    return deleted;
  }

  async read(
    path: string,
    from: Position | 'start' | 'now' = 'start',
    maxBytes: number = Number.MAX_SAFE_INTEGER,
  ): Promise<{ slice: StreamSlice; text: string }> {
    const slice = await this.engine.read({ path, from, maxBytes });
    return { slice, text: await textOf(slice) };
  }

  async text(path: string): Promise<string> {
    return (await this.read(path)).text;
  }
}

export async function textOf(slice: StreamSlice): Promise<string> {
  const parts: Buffer[] = [];
  for await (const piece of slice.pieces()) {
    for (const view of piece) parts.push(Buffer.from(view)); // gone with the next piece
  }
  return Buffer.concat(parts).toString('utf8');
}
