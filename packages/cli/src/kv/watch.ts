import { LIMITS } from '@holdfast/core';
import { SERVER_FLAGS, type Command, type CommandCall } from '../command.ts';
import { asCommandError, CommandError } from '../command-error.ts';
import { OutputClosed } from '../console-io.ts';
import { readEvents, type ServerEvent } from '../event-stream.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';
import { countFlag, shownKey } from './kv-text.ts';

export const kvWatch: Command = {
  name: 'kv watch',
  summary: 'print the changes of a store as they happen, until you press Ctrl-C',
  positionals: [
    { name: 'STORE', required: true },
    { name: 'PREFIX', required: false },
  ],
  flags: {
    since: { type: 'string', value: 'N', summary: 'behind this change (default: from now on)' },
    values: { type: 'boolean', summary: 'with --json: values too' },
    ...SERVER_FLAGS,
  },
  notes: [
    'Prints number, type, key and version, by tabs. With --json one line per change.',
    'Connects again by itself and goes on where it was.',
  ],
  async run(call) {
    const stop = new AbortController();
    const forget = call.io.onInterrupt(() => stop.abort());
    try {
      await new Watch(call, stop.signal).run();
    } catch (error) {
      if (!stop.signal.aborted || error instanceof OutputClosed) throw error;
    } finally {
      forget();
    }
    return EXIT.ok;
  },
};

/** Watches one store. `#since` moves only behind what was printed, so nothing is lost or doubled. */
class Watch {
  readonly #call: CommandCall;
  readonly #client: NodeClient;
  readonly #signal: AbortSignal;
  #since: string | undefined;
  #failures = 0;

  constructor(call: CommandCall, signal: AbortSignal) {
    this.#call = call;
    this.#client = NodeClient.of(call);
    this.#signal = signal;
    this.#since = countFlag('since', call.values.text('since'));
  }

  async run(): Promise<void> {
    for (;;) {
      try {
        await this.#follow();
        await this.#pause();
      } catch (error) {
        await this.#waitAfter(error);
      }
    }
  }

  /** One connection. */
  async #follow(): Promise<void> {
    const {
      arguments: [store = '', prefix],
      values,
    } = this.#call;
    const response = await this.#client.store(store, {
      method: 'GET',
      query: {
        watch: 'sse',
        prefix,
        since: this.#since,
        values: values.flag('values') ? 'text' : 'none',
      },
      headers: { accept: 'text/event-stream' },
      signal: this.#signal,
    });
    if (response.body === null) return;
    const body = response.body as AsyncIterable<Uint8Array>;
    // A heartbeat tells how far it is past changes of other keys.
    const events = readEvents(body, (id) => {
      this.#since = id;
    });
    for await (const event of events) {
      if (event.type === 'trimmed') throw trimmed();
      if (event.type === 'change') await this.#show(event);
      if (event.id !== '') this.#since = event.id;
      this.#failures = 0;
      if (event.type === 'end') return;
    }
  }

  async #show({ data, id }: ServerEvent): Promise<void> {
    const change = JSON.parse(data) as Change;
    const { io, json } = this.#call;
    const seq = Number(id);
    if (json) await io.out(`${JSON.stringify({ seq, ...change })}\n`);
    else await io.out(`${[seq, change.type, shownKey(change.key), change.version].join('\t')}\n`);
  }

  /** Throws what waiting will not change. */
  async #waitAfter(error: unknown): Promise<void> {
    if (this.#signal.aborted || error instanceof OutputClosed) throw error;
    const known = asCommandError(error);
    const broken = known.code === 'FAILURE' && error instanceof TypeError; // cut in mid-answer
    if (known.exitCode !== EXIT.unavailable && !broken) throw error;
    if (this.#failures === 0) {
      this.#call.io.err(`connection lost (${known.message}), trying again\n`);
    }
    await this.#pause();
  }

  async #pause(): Promise<void> {
    const pause = Math.min(LIMITS.maxReconnectMs, LIMITS.reconnectMs * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 16);
    await this.#call.io.sleep(pause, this.#signal);
  }
}

interface Change {
  readonly type: string;
  readonly key: string;
  readonly version: number;
}

function trimmed(): CommandError {
  return new CommandError(EXIT.missing, 'CHANGES_TRIMMED', 'too far behind: changes are gone', {
    hint: 'see what is there with "holdfast kv ls", and watch without --since',
  });
}
