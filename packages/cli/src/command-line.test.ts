import { describe, expect, it } from 'vitest';
import type { Command, CommandCall } from './command.ts';
import { runCommandLine } from './command-line.ts';
import { COMMANDS } from './commands.ts';
import { OutputClosed } from './console-io.ts';
import { EXIT } from './exit-codes.ts';
import { FakeConsole } from '../test/fake-console.ts';

async function run(args: string[], io = new FakeConsole(), commands?: readonly Command[]) {
  const code = await runCommandLine(args, io, commands);
  return { code, out: io.stdoutText, err: io.stderrText };
}

function probe(seen: CommandCall[], fail?: Error): Command {
  return {
    name: 'probe',
    summary: 'look at what arrives',
    positionals: [
      { name: 'FIRST', required: true },
      { name: 'SECOND', required: false },
    ],
    flags: {
      size: { type: 'string', value: 'N', summary: 'a size', env: 'HOLDFAST_SIZE' },
      quick: { type: 'boolean', summary: 'be quick' },
      json: { type: 'boolean', summary: 'json' },
    },
    run(call) {
      seen.push(call);
      if (fail !== undefined) return Promise.reject(fail);
      return Promise.resolve(EXIT.ok);
    },
  };
}

describe('help', () => {
  it('lists every command on stdout and ends with 0', async () => {
    for (const args of [[], ['--help'], ['help'], ['-h']]) {
      const { code, out, err } = await run(args);
      expect([code, err]).toEqual([0, '']);
      for (const command of COMMANDS) expect(out).toContain(command.name);
    }
  });

  it.each(COMMANDS.map((command) => [command.name, command] as const))(
    '%s has its own, with every flag',
    async (name, command) => {
      const { code, out } = await run([...name.split(' '), '--help']);
      expect(code).toBe(0);
      for (const flag of Object.keys(command.flags)) expect(out).toContain(`--${flag}`);
      expect((await run(['help', ...name.split(' ')])).out).toBe(out);
    },
  );

  it('every command can speak JSON', () => {
    for (const command of COMMANDS) expect(command.flags).toHaveProperty('json');
  });

  it('a group alone is a usage error that shows what it holds', async () => {
    const { code, out, err } = await run(['stream']);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('stream append');
    expect((await run(['stream', '--help'])).code).toBe(0);
  });

  it('--version prints the version alone', async () => {
    const { code, out } = await run(['--version']);
    expect([code, /^\d+\.\d+\.\d+/.test(out)]).toEqual([0, true]);
    expect(JSON.parse((await run(['--version', '--json'])).out)).toEqual({ version: out.trim() });
  });
});

describe('what is not understood', () => {
  it.each([
    [['sevre'], 'did you mean "holdfast serve"?'],
    [['stream', 'apend', 'x'], 'did you mean "holdfast stream append"?'],
    [['append', 'x'], 'did you mean "holdfast stream append"?'],
    [['serve', '--prot', '1'], 'did you mean --port?'],
    [['serve', '--long-pol-timeout-ms=1'], 'did you mean --long-poll-timeout-ms?'],
    [['stream', 'read'], 'see "holdfast stream read --help"'],
    [['stream', 'read', 'a', 'b'], 'see "holdfast stream read --help"'],
    [['stream', 'info', 'a', '--url'], 'see "holdfast stream info --help"'],
    [['--wat'], 'see "holdfast --help"'],
    [['stream', 'info', 'a', '--__proto__'], 'see "holdfast stream info --help"'],
  ])('%j ends with 2 and says: %s', async (args, hint) => {
    const { code, out, err } = await run(args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(hint);
  });

  it('is told as one JSON line on stderr when JSON was asked for', async () => {
    const { code, err } = await run(['stream', 'info', '--json']);
    expect(code).toBe(2);
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'USAGE', exitCode: 2 } });
  });
});

describe('values', () => {
  it('come from the flag before the environment, and from neither as undefined', async () => {
    const seen: CommandCall[] = [];
    const io = new FakeConsole();
    await run(['probe', 'a'], undefined, [probe(seen)]);
    io.env['HOLDFAST_SIZE'] = '5';
    await run(['probe', 'a'], io, [probe(seen)]);
    await run(['probe', 'a', '--size', '7'], io, [probe(seen)]);
    expect(seen.map((call) => call.values.text('size'))).toEqual([undefined, '5', '7']);
  });

  it('a dash is an argument, and -- ends the flags', async () => {
    const seen: CommandCall[] = [];
    await run(['probe', 'a', '-', '--quick'], undefined, [probe(seen)]);
    await run(['probe', 'a', '--', '--quick'], undefined, [probe(seen)]);
    for (const text of ['--help', '-h']) {
      expect((await run(['probe', 'a', '--', text], undefined, [probe(seen)])).out).toBe('');
      expect(seen.pop()?.arguments).toEqual(['a', text]);
    }
    expect(seen.map((call) => call.arguments)).toEqual([
      ['a', '-'],
      ['a', '--quick'],
    ]);
    expect(seen.map((call) => call.values.flag('quick'))).toEqual([true, false]);
  });
});

describe('errors', () => {
  it('of unknown kind end with 1 and only their message', async () => {
    const { code, err } = await run(['probe', 'a'], undefined, [probe([], new Error('odd'))]);
    expect([code, err]).toEqual([1, 'error: odd [FAILURE]\n']);
  });

  it('colour follows the terminal and NO_COLOR', async () => {
    const io = new FakeConsole();
    io.stderrIsTerminal = true;
    expect((await run(['x'], io)).err).toContain('\u001b[');
    const plain = new FakeConsole();
    plain.stderrIsTerminal = true;
    plain.env['NO_COLOR'] = '1';
    expect((await run(['x'], plain)).err).not.toContain('\u001b[');
  });

  it('a reader that went away is no error', async () => {
    const { code, err } = await run(['probe', 'a'], undefined, [probe([], new OutputClosed())]);
    expect([code, err]).toEqual([0, '']);
  });
});
