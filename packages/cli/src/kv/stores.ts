import { LIMITS } from '@holdfast/core';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';

export const kvStores: Command = {
  name: 'kv stores',
  summary: 'list the stores that hold a key',
  positionals: [],
  flags: SERVER_FLAGS,
  async run(call) {
    const client = NodeClient.of(call);
    let after: string | undefined;
    do {
      const response = await client.stores({ after, limit: String(LIMITS.maxListedStores) });
      const page = (await response.json()) as StoresPage;
      for (const { name } of page.stores) {
        await call.io.out(call.json ? `${JSON.stringify({ name })}\n` : `${name}\n`);
      }
      after = page.next;
    } while (after !== undefined);
    return EXIT.ok;
  },
};

interface StoresPage {
  readonly stores: readonly { readonly name: string }[];
  readonly next?: string;
}
