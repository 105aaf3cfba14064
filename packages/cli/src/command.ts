/** The shape of a command. What it declares here is what parsing, help and docs go by. */
import type { ConsoleIo } from './console-io.ts';
import type { ExitCode } from './exit-codes.ts';

export interface Flag {
  readonly type: 'string' | 'boolean';
  readonly summary: string;
  /** How the value is called in help: `N`, `FILE`. */
  readonly value?: string;
  /** Environment variable that stands in when the flag is not given. */
  readonly env?: string;
}

export interface Positional {
  readonly name: string;
  readonly required: boolean;
}

export interface Command {
  /** `stream append`. */
  readonly name: string;
  readonly summary: string;
  readonly positionals: readonly Positional[];
  readonly flags: Readonly<Record<string, Flag>>;
  /** More lines of help: examples, and what is special. */
  readonly notes?: readonly string[];
  run(call: CommandCall): Promise<ExitCode>;
}

/** One call of a command, parsed. */
export interface CommandCall {
  readonly io: ConsoleIo;
  readonly arguments: readonly string[];
  readonly values: FlagValues;
  /** Output for programs was asked for. */
  readonly json: boolean;
}

/** Given flags, then their environment variables. */
export class FlagValues {
  readonly #given: Readonly<Record<string, string | boolean | undefined>>;
  readonly #flags: Readonly<Record<string, Flag>>;
  readonly #env: Readonly<Record<string, string | undefined>>;

  constructor(
    given: Readonly<Record<string, string | boolean | undefined>>,
    flags: Readonly<Record<string, Flag>>,
    env: Readonly<Record<string, string | undefined>>,
  ) {
    this.#given = given;
    this.#flags = flags;
    this.#env = env;
  }

  text(name: string): string | undefined {
    const given = this.#given[name];
    if (typeof given === 'string') return given;
    const variable = this.#flags[name]?.env;
    const value = variable === undefined ? undefined : this.#env[variable];
    return value === '' ? undefined : value;
  }

  flag(name: string): boolean {
    return this.#given[name] === true;
  }

  given(name: string): boolean {
    return this.#given[name] !== undefined;
  }
}

export const JSON_FLAG: { readonly json: Flag } = {
  json: { type: 'boolean', summary: 'output for programs; see docs/CLI.md for its shape' },
};

export const SERVER_FLAGS: { readonly url: Flag; readonly json: Flag } = {
  url: {
    type: 'string',
    value: 'URL',
    env: 'HOLDFAST_URL',
    summary: 'the node to talk to (default http://127.0.0.1:4437)',
  },
  ...JSON_FLAG,
};
