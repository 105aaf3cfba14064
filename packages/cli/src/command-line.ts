/**
 * From arguments to a command and from its outcome to an exit code. Nothing below this file
 * ends the process, and nothing above it prints.
 */
import { parseArgs } from 'node:util';
import { closestName } from '@holdfast/core';
import { asCommandError, usageError } from './command-error.ts';
import { FlagValues, type Command } from './command.ts';
import { COMMANDS } from './commands.ts';
import { OutputClosed, type ConsoleIo } from './console-io.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { commandHelp, groupHelp, overviewHelp } from './help.ts';
import { VERSION } from './version.ts';

export async function runCommandLine(
  args: readonly string[],
  io: ConsoleIo,
  commands: readonly Command[] = COMMANDS,
): Promise<ExitCode> {
  try {
    return await dispatch(args, io, commands);
  } catch (error) {
    if (error instanceof OutputClosed) return EXIT.ok;
    return report(error, io, beforeData(args).includes('--json'));
  }
}

async function dispatch(
  args: readonly string[],
  io: ConsoleIo,
  commands: readonly Command[],
): Promise<ExitCode> {
  const [first, second] = args;
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') {
    return help(first === 'help' ? args.slice(1) : [], io, commands);
  }
  if (first === '--version' || first === '-v' || first === 'version') {
    const text = args.includes('--json') ? JSON.stringify({ version: VERSION }) : VERSION;
    await io.out(`${text}\n`);
    return EXIT.ok;
  }
  const group = commands.filter((one) => one.name.startsWith(`${first} `));
  if (group.length > 0) {
    if (second === undefined || second === '--help' || second === '-h') {
      const text = groupHelp(first, group);
      if (second !== undefined) await io.out(text);
      else io.err(text);
      return second === undefined ? EXIT.usage : EXIT.ok;
    }
    return call(findCommand(commands, `${first} ${second}`), args.slice(2), io);
  }
  return call(findCommand(commands, first), args.slice(1), io);
}

async function help(
  words: readonly string[],
  io: ConsoleIo,
  commands: readonly Command[],
): Promise<ExitCode> {
  const name = words.join(' ');
  const group = commands.filter((one) => one.name.startsWith(`${name} `));
  if (name === '') await io.out(overviewHelp(commands));
  else if (group.length > 0) await io.out(groupHelp(name, group));
  else await io.out(commandHelp(findCommand(commands, name)));
  return EXIT.ok;
}

function findCommand(commands: readonly Command[], name: string): Command {
  const found = commands.find((one) => one.name === name);
  if (found !== undefined) return found;
  const words = [...new Set(commands.flatMap((one) => [one.name, one.name.split(' ')[0] ?? '']))];
  const near =
    closestName(name, words) ?? words.find((word) => word.split(' ')[1] === name.split(' ')[0]);
  throw usageError(
    name.startsWith('-') ? `unknown flag ${name}` : `unknown command "${name}"`,
    near === undefined ? 'see "holdfast --help"' : `did you mean "holdfast ${near}"?`,
  );
}

async function call(command: Command, args: readonly string[], io: ConsoleIo): Promise<ExitCode> {
  const own = beforeData(args);
  if (own.includes('--help') || own.includes('-h')) {
    await io.out(commandHelp(command));
    return EXIT.ok;
  }
  const { values, positionals } = parse(command, args);
  const missing = command.positionals.find(
    (one, i) => one.required && positionals[i] === undefined,
  );
  if (missing !== undefined) {
    throw usageError(`${missing.name} is missing`, `see "holdfast ${command.name} --help"`);
  }
  const extra = positionals[command.positionals.length];
  if (extra !== undefined) {
    throw usageError(`unexpected argument "${extra}"`, `see "holdfast ${command.name} --help"`);
  }
  return command.run({
    io,
    arguments: positionals,
    values: new FlagValues(values, command.flags, io.env),
    json: values['json'] === true,
  });
}

/** What stands behind `--` is data, whatever it looks like. */
function beforeData(args: readonly string[]): readonly string[] {
  const end = args.indexOf('--');
  return end < 0 ? args : args.slice(0, end);
}

interface ParsedArguments {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
}

function parse(command: Command, args: readonly string[]): ParsedArguments {
  const known = Object.keys(command.flags);
  for (const arg of args) {
    if (arg === '--') break;
    const name = /^--([^=]+)/.exec(arg)?.[1];
    if (name === undefined || Object.hasOwn(command.flags, name)) continue;
    const near = closestName(name, known);
    throw usageError(
      `unknown flag --${name} of "holdfast ${command.name}"`,
      near === undefined ? `see "holdfast ${command.name} --help"` : `did you mean --${near}?`,
    );
  }
  try {
    const parsed = parseArgs({
      args: joinNegative(command, args),
      options: Object.fromEntries(
        Object.entries(command.flags).map(([name, flag]) => [name, { type: flag.type }]),
      ),
      allowPositionals: true,
      strict: true,
    });
    return {
      values: parsed.values as ParsedArguments['values'],
      positionals: parsed.positionals,
    };
  } catch (error) {
    const message = error instanceof Error ? (error.message.split('\n')[0] ?? '') : '';
    throw usageError(message, `see "holdfast ${command.name} --help"`);
  }
}

/** `--to -15m` is a value of the flag and not a flag of its own. */
function joinNegative(command: Command, args: readonly string[]): string[] {
  const joined: string[] = [];
  const end = beforeData(args).length;
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] as string;
    const next = args[at + 1];
    const takesValue = command.flags[arg.replace(/^--/, '')]?.type === 'string';
    if (arg.startsWith('--') && takesValue && at + 1 < end && /^-\d/.test(next ?? '')) {
      joined.push(`${arg}=${next}`);
      at++;
    } else joined.push(arg);
  }
  return joined;
}

function report(error: unknown, io: ConsoleIo, json: boolean): ExitCode {
  const known = asCommandError(error);
  const { code, message, hint, exitCode } = known;
  if (json) {
    io.err(`${JSON.stringify({ error: { code, message, hint, exitCode } })}\n`);
    return exitCode;
  }
  const colour = io.stderrIsTerminal && !io.env['NO_COLOR'];
  const label = colour ? '\u001b[31merror\u001b[0m' : 'error';
  io.err(`${label}: ${message}${code === 'USAGE' ? '' : ` [${code}]`}\n`);
  if (hint !== undefined) io.err(`  ${hint}\n`);
  return exitCode;
}
