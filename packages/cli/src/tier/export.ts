import { askNodeForBytes, interruptible } from '../admin-work.ts';
import { CommandError } from '../command-error.ts';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { countOf, STORE } from './tier-work.ts';

/** The last line of an export is short. */
const TAIL_BYTES = 256;

export const tierExport: Command = {
  name: 'tier export',
  summary: 'print all entries of a store, with their order and versions, as lines of JSON',
  positionals: [STORE],
  flags: {
    since: { type: 'string', value: 'VERSION', summary: 'only what has a higher version' },
    ...SERVER_FLAGS,
  },
  notes: [
    'Values are as the store gives them: what rests encrypted is not so here.',
    'Lines are printed with --json, too.',
  ],
  async run(call) {
    const [store = ''] = call.arguments;
    const body = { since: countOf(call, 'since') };
    let tail = Buffer.alloc(0);
    await interruptible(call, async (signal) => {
      const request = { method: 'POST', path: ['tiers', store, 'export'], body } as const;
      for await (const piece of askNodeForBytes(call, request, signal)) {
        tail = Buffer.concat([tail, piece]).subarray(-TAIL_BYTES);
        await call.io.out(piece);
      }
    });
    if (/\n\{"entries":\d+,"sha256":"[0-9a-f]{64}"\}\n$/.test(tail.toString())) return EXIT.ok;
    throw new CommandError(EXIT.unavailable, 'UNREACHABLE', 'the export was cut off', {
      hint: 'what was printed is no export: begin it again',
    });
  },
};
