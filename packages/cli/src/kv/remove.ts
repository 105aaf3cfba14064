import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';
import { countFlag, shownKey } from './kv-text.ts';

export const kvRemove: Command = {
  name: 'kv del',
  summary: 'delete a key',
  positionals: [
    { name: 'STORE', required: true },
    { name: 'KEY', required: true },
  ],
  flags: {
    'if-version': { type: 'string', value: 'N', summary: 'only when the entry has this version' },
    ...SERVER_FLAGS,
  },
  async run(call) {
    const {
      io,
      arguments: [store = '', key = ''],
      values,
      json,
    } = call;
    const version = countFlag('if-version', values.text('if-version'));
    const response = await NodeClient.of(call).entry(store, key, {
      method: 'DELETE',
      headers: { 'if-match': version === undefined ? undefined : `"${version}"` },
    });
    const deleted = response.headers.get('holdfast-kv-changed') === 'true';
    if (json) await io.out(`${JSON.stringify({ store, key, deleted })}\n`);
    else io.err(deleted ? `deleted: ${shownKey(key)}\n` : `there was no ${shownKey(key)}\n`);
    return EXIT.ok;
  },
};
