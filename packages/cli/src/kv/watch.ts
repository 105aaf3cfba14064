import { SERVER_FLAGS, type Command, type CommandCall } from '../command.ts';
import { CommandError } from '../command-error.ts';
import { readEvents, type ServerEvent } from '../event-stream.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';
import { Reconnection, untilInterrupted } from '../reconnection.ts';
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
    await untilInterrupted(call, (signal) => new Watch(call, signal).run());
    return EXIT.ok;
  },
};

/** Watches one store. `#since` moves only behind what was printed, so nothing is lost or doubled. */
class Watch {
  readonly #call: CommandCall;
  readonly #client: NodeClient;
  readonly #signal: AbortSignal;
  #since: string | undefined;
  readonly #reconnection: Reconnection;

  constructor(call: CommandCall, signal: AbortSignal) {
    this.#call = call;
    this.#client = NodeClient.of(call);
    this.#signal = signal;
    this.#reconnection = new Reconnection(call.io, signal);
    this.#since = countFlag('since', call.values.text('since'));
  }

  async run(): Promise<void> {
    for (;;) {
      try {
        await this.#follow();
        await this.#reconnection.pause();
      } catch (error) {
        await this.#reconnection.after(error);
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
      this.#reconnection.heard();
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
