/**
 * Which keys are ephemeral, as data. The id of rules is made of what they say; a predicate cannot
 * be looked into, so that it brings an id of its own, to be changed whenever its answers change.
 */
import { createHash } from 'node:crypto';
import { HoldfastError } from '@holdfast/core';
import type { KeyInterval } from '../kv-backend.ts';
import { behindPrefix, compareKeys } from '../kv-key.ts';

/** Keys that it names are ephemeral. */
export type TierRule =
  | { readonly prefix: string }
  /** `*`: any text without `/`; `**`: any text; `?`: one character. */
  | { readonly glob: string }
  | { readonly id: string; readonly matches: (key: string) => boolean };

interface CompiledRule {
  /** Every key that it names begins with this. */
  readonly literal: string;
  readonly matches: (key: string) => boolean;
}

const ID_CHARS = 16;

export class TierRules {
  readonly id: string;
  readonly #rules: readonly CompiledRule[];

  constructor(rules: readonly TierRule[]) {
    this.#rules = rules.map(compile);
    const said = rules.map((rule) => {
      if ('prefix' in rule) return ['prefix', rule.prefix];
      return 'glob' in rule ? ['glob', rule.glob] : ['predicate', rule.id];
    });
    const digest = createHash('sha256').update(JSON.stringify(said)).digest('hex');
    this.id = rules.length === 0 ? 'none' : digest.slice(0, ID_CHARS);
  }

  get isEmpty(): boolean {
    return this.#rules.length === 0;
  }

  isEphemeral(key: string): boolean {
    for (const { matches } of this.#rules) if (matches(key)) return true;
    return false;
  }

  /** False: certainly none of the keys in between is ephemeral. */
  mayBeIn({ from, to }: KeyInterval): boolean {
    return this.#rules.some(({ literal }) => {
      const end = behindPrefix(literal);
      if (to !== undefined && compareKeys(literal, to) >= 0) return false;
      return end === undefined || compareKeys(end, from) > 0;
    });
  }
}

function compile(rule: TierRule): CompiledRule {
  if ('prefix' in rule) {
    const { prefix } = rule;
    if (typeof prefix !== 'string' || prefix === '') throw unusable('a prefix is not empty');
    return { literal: prefix, matches: (key) => key.startsWith(prefix) };
  }
  if ('glob' in rule) {
    const { glob } = rule;
    if (typeof glob !== 'string' || glob === '') throw unusable('a glob is not empty');
    const pattern = new RegExp(`^${patternOf(glob)}$`, 'su');
    return { literal: /^[^*?]*/.exec(glob)?.[0] ?? '', matches: (key) => pattern.test(key) };
  }
  if (typeof rule.id !== 'string' || rule.id === '') throw unusable('a predicate has an id');
  return { literal: '', matches: rule.matches };
}

function patternOf(glob: string): string {
  return glob.replaceAll(/\*\*|\*|\?|[^*?]/gsu, (part) => {
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    return part === '?' ? '.' : part.replaceAll(/[\\^$.|+()[\]{}]/gu, String.raw`\$&`);
  });
}

function unusable(message: string): HoldfastError {
  return new HoldfastError('INVALID_SETTINGS', `a rule of tiers is not usable: ${message}`);
}
