/** Help made from what commands declare. */
import type { Command, Flag } from './command.ts';

export function overviewHelp(commands: readonly Command[]): string {
  return [
    'holdfast: a storage node',
    '',
    'Usage: holdfast COMMAND [ARGUMENTS] [FLAGS]',
    '',
    ...listing(commands),
    '',
    '  holdfast COMMAND --help   what a command takes',
    '  holdfast --version        the version',
    '',
    'Start here: holdfast serve --memory',
    '',
  ].join('\n');
}

export function groupHelp(group: string, commands: readonly Command[]): string {
  return [`Usage: holdfast ${group} COMMAND`, '', ...listing(commands), ''].join('\n');
}

export function commandHelp(command: Command): string {
  const positionals = command.positionals.map((one) => (one.required ? one.name : `[${one.name}]`));
  const flags = Object.entries(command.flags);
  return [
    command.summary,
    '',
    `Usage: ${['holdfast', command.name, ...positionals, '[FLAGS]'].join(' ')}`,
    '',
    'Flags:',
    ...columns(flags.map(([name, flag]) => [flagTitle(name, flag), flagText(flag)])),
    ...(command.notes === undefined ? [] : ['', ...command.notes]),
    '',
  ].join('\n');
}

function listing(commands: readonly Command[]): string[] {
  return ['Commands:', ...columns(commands.map((one) => [one.name, one.summary]))];
}

function flagTitle(name: string, flag: Flag): string {
  return flag.type === 'boolean' ? `--${name}` : `--${name} ${flag.value ?? 'VALUE'}`;
}

function flagText(flag: Flag): string {
  return flag.env === undefined ? flag.summary : `${flag.summary} [${flag.env}]`;
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
