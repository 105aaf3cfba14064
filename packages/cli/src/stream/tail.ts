import { SERVER_FLAGS, type Command, type CommandCall } from '../command.ts';
import { readEvents } from '../event-stream.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';
import { Reconnection, untilInterrupted } from '../reconnection.ts';
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
    await untilInterrupted(call, (signal) => new Tail(call, signal).run());
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
  readonly #reconnection: Reconnection;

  constructor(call: CommandCall, signal: AbortSignal) {
    this.#call = call;
    this.#client = NodeClient.of(call);
    this.#path = call.arguments[0] ?? '';
    this.#signal = signal;
    this.#reconnection = new Reconnection(call.io, signal);
    this.#offset = offsetOf(call.values.text('from') ?? 'now');
  }

  async run(): Promise<void> {
    // The first request says at once whether the stream is there, and where now is.
    if (await this.#catchUp()) return;
    for (;;) {
      try {
        if (await this.#follow()) return;
      } catch (error) {
        await this.#reconnection.after(error);
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
      this.#reconnection.heard();
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
}

interface ControlEvent {
  readonly streamNextOffset: string;
  readonly upToDate?: boolean;
  readonly streamClosed?: boolean;
}
