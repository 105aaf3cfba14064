import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';

export const subscriptionShow: Command = {
  name: 'subscription show',
  summary: 'show a subscription, and how far each of its streams is processed',
  positionals: [{ name: 'ID', required: true }],
  flags: SERVER_FLAGS,
  async run(call) {
    const {
      io,
      arguments: [id = ''],
      json,
    } = call;
    const response = await NodeClient.of(call).subscription(id, { method: 'GET' });
    const text = await response.text();
    await io.out(json ? `${text}\n` : describe(JSON.parse(text) as ShownSubscription));
    return EXIT.ok;
  },
};

interface ShownSubscription extends Readonly<Record<string, unknown>> {
  readonly webhook: { readonly url: string; readonly signing?: { readonly kid: string } } | null;
  readonly streams: readonly {
    readonly path: string;
    readonly link_type: string;
    readonly acked_offset: string;
  }[];
}

/** Descriptions and names of workers may hold anything, also what steers a terminal. */
function onOneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ');
}

/** One fact on a line, then one stream on a line: offset, how it is linked, path. */
function describe({ webhook, streams, ...facts }: ShownSubscription): string {
  const shown = {
    ...facts,
    subscription_id: null, // the same as the id
    webhook: webhook?.url ?? null,
    signing_key: webhook?.signing?.kid ?? null,
  };
  const rows = Object.entries(shown)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name.padEnd(18)}${onOneLine(String(value))}\n`);
  const links = streams.map(
    ({ path, link_type: type, acked_offset: offset }) => `${offset}\t${type}\t${path}\n`,
  );
  return rows.join('') + links.join('');
}
