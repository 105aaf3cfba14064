/** What the commands that delete have in common: they ask first, and say what they did. */
import { SERVER_FLAGS, type CommandCall, type Flag } from './command.ts';
import { usageError } from './command-error.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';

export const DELETION_FLAGS: {
  readonly force: Flag;
  readonly url: Flag;
  readonly json: Flag;
} = {
  force: { type: 'boolean', summary: 'do not ask; needed when there is no terminal to ask on' },
  ...SERVER_FLAGS,
};

export interface Deletion {
  readonly command: string;
  /** What is deleted, as it was given. */
  readonly target: string;
  /** What goes with it. */
  readonly alsoGone: string;
  /** What the target is called in the output for programs. */
  readonly field: string;
  readonly perform: () => Promise<unknown>;
}

export async function runDeletion(call: CommandCall, deletion: Deletion): Promise<ExitCode> {
  const { io, values, json } = call;
  const { command, target, alsoGone, field, perform } = deletion;
  if (!values.flag('force')) {
    if (!io.stdinIsTerminal) {
      throw usageError('deleting cannot be taken back', `holdfast ${command} ${target} --force`);
    }
    const answer = await io.ask(`Delete ${target} and ${alsoGone}? Type yes: `);
    if (answer.trim().toLowerCase() !== 'yes') {
      io.err('nothing was deleted\n');
      return EXIT.failure;
    }
  }
  await perform();
  if (json) await io.out(`${JSON.stringify({ [field]: target, deleted: true })}\n`);
  else io.err(`deleted: ${target}\n`);
  return EXIT.ok;
}
