import { isUtf8 } from 'node:buffer';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';

export const kvGet: Command = {
  name: 'kv get',
  summary: 'print the value of a key, byte for byte',
  positionals: [
    { name: 'STORE', required: true },
    { name: 'KEY', required: true },
  ],
  flags: SERVER_FLAGS,
  async run(call) {
    const {
      io,
      arguments: [store = '', key = ''],
      json,
    } = call;
    const response = await NodeClient.of(call).entry(store, key, { method: 'GET' });
    const value = Buffer.from(await response.arrayBuffer());
    const { headers } = response;
    if (headers.get('holdfast-kv-stale') === 'true') {
      io.err('from the backup: the store itself does not answer\n');
    }
    if (!json) {
      await io.out(value);
      return EXIT.ok;
    }
    const expiresAt = headers.get('holdfast-kv-expires-at');
    const shown = {
      store,
      key,
      version: Number(headers.get('holdfast-kv-version')),
      seq: Number(headers.get('holdfast-kv-seq')),
      bytes: value.length,
      ...(expiresAt === null ? {} : { expiresAt }),
      ...(isUtf8(value) ? { text: value.toString('utf8') } : { value: value.toString('base64') }),
    };
    await io.out(`${JSON.stringify(shown)}\n`);
    return EXIT.ok;
  },
};
