/**
 * The query of a request, read strictly: what is malformed, given twice or not known is refused,
 * because what it was meant to say would be lost. A plus sign is a space, as forms write it.
 */
import { closestName, HoldfastError } from '@holdfast/core';

export class QueryParameters {
  static readonly none: QueryParameters = new QueryParameters(new Map());
  readonly #values: ReadonlyMap<string, string>;

  private constructor(values: ReadonlyMap<string, string>) {
    this.#values = values;
  }

  /** @param from where the query begins in `target`: its `?`, or its length. */
  static parse(target: string, from: number): QueryParameters {
    const text = target.slice(from + 1);
    if (text === '') return QueryParameters.none;
    const values = new Map<string, string>();
    for (const pair of text.split('&')) {
      if (pair === '') continue;
      const equals = pair.indexOf('=');
      const name = decode(equals < 0 ? pair : pair.slice(0, equals));
      if (values.has(name)) {
        throw new HoldfastError('INVALID_QUERY', `query parameter is given twice name=${name}`);
      }
      values.set(name, equals < 0 ? '' : decode(pair.slice(equals + 1)));
    }
    return new QueryParameters(values);
  }

  get(name: string): string | undefined {
    return this.#values.get(name);
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** Throws `INVALID_QUERY` for any that is not in `known`. */
  assertKnown(known: readonly string[]): void {
    for (const name of this.#values.keys()) {
      if (known.includes(name)) continue;
      const near = closestName(name, known);
      const what = known.length === 0 ? 'none are' : `known are ${known.join(', ')}`;
      const hint = near === undefined ? what : `did you mean ${near}?`;
      throw new HoldfastError('INVALID_QUERY', `query parameter is not known here, ${hint}`);
    }
  }

  count(name: string, least: number, most: number): number | undefined {
    const text = this.get(name);
    if (text === undefined) return undefined;
    const value = /^(?:0|[1-9]\d{0,15})$/.test(text) ? Number(text) : NaN;
    if (value >= least && value <= most) return value;
    throw new HoldfastError('INVALID_QUERY', `${name} must be a whole number, ${least} to ${most}`);
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const text = this.get(name);
    if (text === undefined) return undefined;
    const choice = choices.find((one) => one === text);
    if (choice !== undefined) return choice;
    throw new HoldfastError('INVALID_QUERY', `${name} must be one of ${choices.join(', ')}`);
  }

  /** Given without a value, or as `true`. */
  flag(name: string): boolean {
    const text = this.get(name);
    if (text === undefined || text === 'false') return false;
    if (text === '' || text === 'true') return true;
    throw new HoldfastError('INVALID_QUERY', `${name} must be true or false`);
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new HoldfastError('INVALID_QUERY', 'query is not valid percent-encoded UTF-8');
  }
}
