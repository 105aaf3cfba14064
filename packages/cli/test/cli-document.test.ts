import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../src/commands.ts';
import { EXIT } from '../src/exit-codes.ts';

const document = readFileSync(
  fileURLToPath(new URL('../../../docs/CLI.md', import.meta.url)),
  'utf8',
);

describe('docs/CLI.md', () => {
  it.each(COMMANDS.map((command) => [command.name, command] as const))(
    'has %s with all its flags and variables',
    (name, command) => {
      expect(document).toMatch(new RegExp(`\`(holdfast )?${name}[ \`]`));
      for (const [flag, { env }] of Object.entries(command.flags)) {
        expect(document).toMatch(new RegExp(`\`--${flag}[ \`]`));
        if (env !== undefined) expect(document).toContain(`\`${env}\``);
      }
    },
  );

  it('has every exit code', () => {
    for (const code of Object.values(EXIT))
      expect(document).toMatch(new RegExp(`^\\| ${code} `, 'm'));
  });
});
