import { LIMITS } from '@holdfast/core';
import { SERVER_FLAGS, type Command, type CommandCall } from '../command.ts';
import { asCommandError } from '../command-error.ts';
import { OutputClosed } from '../console-io.ts';
import { readEvents } from '../event-stream.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';
import { hasData, showBatch } from './batch-output.ts';
import { catchUp, offsetOf } from './catch-up.ts';
import { streamAnswer } from './stream-answer.ts';

export const streamTail: Command = {
  name: 'stream tail',
  summary: 'print what is appended to a stream, until it is closed or you press Ctrl-C',
  positionals: [{ name: 'PATH', required: true }],
  flags: {
    from: { type: 'string', value: 'OFFSET', summary: 'now (default), start, or an offset' },
    ...SERVER_FLAGS,
  },
  notes: ['Connects again by itself and goes on where it was. Output as of "stream read".'],
  async run(call) {
    const stop = new AbortController();
    const forget = call.io.onInterrupt(() => stop.abort());
    try {
      await new Tail(call, stop.signal).run();
    } catch (error) {
      if (!stop.signal.aborted || error instanceof OutputClosed) throw error;
    } finally {
      forget();
    }
    return EXIT.ok;
  },
};

/** Follows one stream. `#offset` moves only behind what was printed, so nothing is lost or doubled. */
class Tail {
  readonly #call: CommandCall;
  readonly #client: NodeClient;
  readonly #path: string;
  readonly #signal: AbortSignal;
  #offset: string;
  #failures = 0;

  constructor(call: CommandCall, signal: AbortSignal) {
    this.#call = call;
    this.#client = NodeClient.of(call);
    this.#path = call.arguments[0] ?? '';
    this.#signal = signal;
    this.#offset = offsetOf(call.values.text('from') ?? 'now');
  }

  async run(): Promise<void> {
    // The first request says at once whether the stream is there, and where now is.
    if (await this.#catchUp()) return;
    for (;;) {
      try {
        if (await this.#follow()) return;
      } catch (error) {
        await this.#waitAfter(error);
      }
    }
  }

  /** By plain reads: byte for byte and in large pieces. True at the end of the stream. */
  async #catchUp(): Promise<boolean> {
    for await (const batch of catchUp(this.#client, this.#path, this.#offset, this.#signal)) {
      if (hasData(batch)) await showBatch(this.#call.io, this.#call.json, batch);
      this.#offset = batch.nextOffset;
      if (batch.closed) return true;
    }
    return false;
  }

  /** One SSE connection. True at the end of the stream, false when it has to connect again. */
  async #follow(): Promise<boolean> {
    const response = await this.#client.stream(this.#path, {
      method: 'GET',
      query: { offset: this.#offset, live: 'sse' },
      headers: { accept: 'text/event-stream' },
      signal: this.#signal,
    });
    const base64 = response.headers.get('stream-sse-data-encoding') === 'base64';
    const contentType = await this.#contentType(base64);
    let data: string[] = [];
    if (response.body === null) return false;
    for await (const event of readEvents(response.body as AsyncIterable<Uint8Array>)) {
      if (event.type === 'data') {
        data.push(event.data);
        continue;
      }
      if (event.type !== 'control') continue;
      const control = JSON.parse(event.data) as ControlEvent;
      const bytes = Buffer.concat(
        data.map((text) => (base64 ? Buffer.from(text, 'base64') : Buffer.from(text))),
      );
      data = [];
      const closed = control.streamClosed === true;
      if (bytes.length > 0) {
        await showBatch(this.#call.io, this.#call.json, {
          contentType,
          bytes,
          nextOffset: control.streamNextOffset,
          upToDate: control.upToDate === true || closed,
          closed,
        });
      }
      this.#offset = control.streamNextOffset;
      this.#failures = 0;
      if (closed) return true;
    }
    return false;
  }

  /** An SSE answer does not say whether its text is JSON. */
  async #contentType(base64: boolean): Promise<string> {
    if (base64) return 'application/octet-stream';
    const head = await this.#client.stream(this.#path, { method: 'HEAD', signal: this.#signal });
    return streamAnswer(head).contentType;
  }

  /** Throws what waiting will not change. */
  async #waitAfter(error: unknown): Promise<void> {
    if (this.#signal.aborted || error instanceof OutputClosed) throw error;
    const known = asCommandError(error);
    const broken = known.code === 'FAILURE' && error instanceof TypeError; // cut in mid-answer
    if (known.exitCode !== EXIT.unavailable && !broken) throw error;
    if (this.#failures === 0)
      this.#call.io.err(`connection lost (${known.message}), trying again\n`);
    const pause = Math.min(LIMITS.maxReconnectMs, LIMITS.reconnectMs * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 16);
    await this.#call.io.sleep(pause, this.#signal);
  }
}

interface ControlEvent {
  readonly streamNextOffset: string;
  readonly upToDate?: boolean;
  readonly streamClosed?: boolean;
}
