/** Tokens for claims from a file, one on a line: no other user of the machine sees them there. */
import type { NodeSettingsInput } from '@holdfast/node';
import { usageError } from './command-error.ts';
import type { CommandCall, Flag } from './command.ts';
import { readWhole } from './input.ts';

const NAME = 'claim-tokens-file';

export const CLAIM_TOKENS_FILE_FLAG: Readonly<Record<string, Flag>> = {
  [NAME]: {
    type: 'string',
    value: 'FILE',
    env: 'HOLDFAST_CLAIM_TOKENS_FILE',
    summary: 'tokens for claims, one on a line',
  },
};

/** The settings, with the tokens of the file that was named. */
export async function withClaimTokens(
  call: CommandCall,
  settings: NodeSettingsInput,
): Promise<NodeSettingsInput> {
  const file = call.values.text(NAME);
  if (file === undefined) return settings;
  const text = Buffer.from(await readWhole(call.io, file)).toString();
  const fromFile = text.split(/\r?\n/).filter((line) => line !== '');
  if (fromFile.length === 0) throw usageError(`${file} holds no token`);
  return { ...settings, claimTokens: [...(settings.claimTokens ?? []), ...fromFile] };
}
