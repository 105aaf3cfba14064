import type { KeyStatus } from '@holdfast/node';
import { askNode } from '../admin-work.ts';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { byteText } from '../progress.ts';

export const keyStatus: Command = {
  name: 'key status',
  summary: 'show the keys of a running node, and how much is encrypted with each',
  positionals: [],
  flags: SERVER_FLAGS,
  async run(call) {
    const status = await askNode<KeyStatus>(call, { method: 'GET', path: ['keys'] });
    if (call.json) await call.io.out(`${JSON.stringify(status)}\n`);
    else {
      if (!status.encrypted) call.io.err('nothing is encrypted: the node has no key\n');
      for (const { id, active, known, bytes } of status.keys) {
        const state = active ? 'active' : known ? 'old' : 'missing';
        await call.io.out(`${id}\t${state}\t${byteText(bytes)}\n`);
      }
      for (const [name, code] of Object.entries(status.unanswered ?? {})) {
        call.io.err(`there may be more in the ${name}, which does not answer: ${code}\n`);
      }
    }
    return EXIT.ok;
  },
};
