import type { Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { DELETION_FLAGS, runDeletion } from '../deletion.ts';
import { NodeClient } from '../node-client.ts';

export const kvClear: Command = {
  name: 'kv clear',
  summary: 'delete the keys of a store that begin with a prefix, or all',
  positionals: [{ name: 'STORE', required: true }],
  flags: {
    prefix: { type: 'string', value: 'PREFIX', summary: 'only keys that begin with this' },
    all: { type: 'boolean', summary: 'all keys' },
    ...DELETION_FLAGS,
  },
  async run(call) {
    const {
      arguments: [store = ''],
      values,
    } = call;
    const prefix = values.text('prefix');
    const all = values.flag('all');
    if (all === (prefix !== undefined)) throw usageError('say --prefix PREFIX, or --all');
    const client = NodeClient.of(call);
    return runDeletion(call, {
      command: 'kv clear',
      target: store,
      alsoGone: all ? 'every key in it' : `of its keys those that begin with ${prefix}`,
      field: 'store',
      perform: () =>
        client.store(store, {
          method: 'DELETE',
          query: { prefix, all: all ? 'true' : undefined },
        }),
    });
  },
};
