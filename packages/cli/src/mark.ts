import { askNode } from './admin-work.ts';
import { SERVER_FLAGS, type Command } from './command.ts';
import { EXIT } from './exit-codes.ts';

export const mark: Command = {
  name: 'mark',
  summary: 'give this moment of a running node a name that it can be restored to',
  positionals: [{ name: 'NAME', required: true }],
  flags: SERVER_FLAGS,
  notes: [
    'Like "holdfast mark before-migration"; then "holdfast restore … --to mark:before-migration".',
  ],
  async run(call) {
    const [name = ''] = call.arguments;
    const marked = await askNode<{ name: string; lsn: number }>(call, {
      method: 'POST',
      path: ['marks'],
      body: { name },
    });
    await call.io.out(call.json ? `${JSON.stringify(marked)}\n` : `${marked.lsn}\n`);
    return EXIT.ok;
  },
};
