import { parseKeyId } from '@holdfast/core';
import { askNode } from '../admin-work.ts';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';

export const keyRetire: Command = {
  name: 'key retire',
  summary: 'let a running node forget a key that nothing needs any more',
  positionals: [{ name: 'ID', required: true }],
  flags: {
    'key-file': {
      type: 'string',
      value: 'FILE',
      env: 'HOLDFAST_KEY_FILE',
      summary: "then take it out of the node's key file too",
    },
    ...SERVER_FLAGS,
  },
  notes: [
    'It is refused, with 4, while anything is left under the key: see "holdfast key status".',
  ],
  async run(call) {
    const { io, json, values } = call;
    const [id = ''] = call.arguments;
    if (!/^[0-9a-f]{8}$/.test(id)) {
      throw usageError(`"${id}" is no id of a key`, 'see "holdfast key status"');
    }
    await askNode(call, { method: 'DELETE', path: ['keys', id] });
    const file = values.text('key-file');
    if (file !== undefined) {
      const { removeKey } = await import('@holdfast/node');
      await removeKey(file, parseKeyId(id));
    }
    if (json) await io.out(`${JSON.stringify({ id, retired: true })}\n`);
    else io.err(`retired: ${id}\n`);
    return EXIT.ok;
  },
};
