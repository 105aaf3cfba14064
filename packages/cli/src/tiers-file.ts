/**
 * Tiers of key-value stores from a file: JSON, by the names of stores. `${NAME}` in a text stands for
 * a variable of the environment, so that passwords need not be in the file. As user or password of a
 * URL it may hold any character: else one with a slash would be read as a host, and shown as one.
 */
import type { NodeSettingsInput, TiersInput } from '@holdfast/node';
import { usageError } from './command-error.ts';
import type { CommandCall, Flag } from './command.ts';
import { readWhole } from './input.ts';

const NAME = 'tiers';

export const TIERS_FILE_FLAG: Readonly<Record<string, Flag>> = {
  [NAME]: {
    type: 'string',
    value: 'FILE',
    env: 'HOLDFAST_TIERS',
    summary: 'tiers of key-value stores, as JSON: see docs/TIERS.md',
  },
};

/** The settings, with what the file that was named says. */
export async function withTiers(
  call: CommandCall,
  settings: NodeSettingsInput,
): Promise<NodeSettingsInput> {
  const file = call.values.text(NAME);
  if (file === undefined) return settings;
  const text = Buffer.from(await readWhole(call.io, file)).toString();
  let tiers: unknown;
  try {
    tiers = JSON.parse(text);
  } catch (error) {
    // What the parser says may repeat what is in the file.
    const at = /position \d+( \(line \d+ column \d+\))?/.exec(String(error))?.[0];
    throw usageError(`${file} is not JSON${at === undefined ? '' : ` at ${at}`}`);
  }
  return { ...settings, tiers: filled(tiers, call.io.env, file) as TiersInput };
}

function filled(
  value: unknown,
  env: Readonly<Record<string, string | undefined>>,
  file: string,
): unknown {
  if (typeof value === 'string') {
    return value.replace(/\$\{([^}]*)\}/g, (whole, name: string, at: number) => {
      const found = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? env[name] : undefined;
      if (found !== undefined && found !== '') {
        const isUser = isInUserPart(value.slice(0, at), value.slice(at + whole.length));
        return isUser ? asUserPart(found) : found;
      }
      throw usageError(`${file} wants the variable ${name}, which is not set`);
    });
  }
  if (Array.isArray(value)) return value.map((each) => filled(each, env, file));
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).map(([key, each]) => [key, filled(each, env, file)]);
  return Object.fromEntries(members) as unknown;
}

function isInUserPart(before: string, after: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*$/i.test(before) && /^[^/?#]*@/.test(after);
}

/** What is written for a URL already stays as it is. */
function asUserPart(text: string): string {
  const isWritten = /^(?:[\w.~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*$/.test(text);
  return isWritten ? text : encodeURIComponent(text).replaceAll('%3A', ':');
}
