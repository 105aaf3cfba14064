/**
 * Runs a parser over damaged inputs. A parser that faces the network or the disk may do two things
 * with any bytes whatever: give a value, or throw a `HoldfastError` of a code it is known for.
 *
 * Of every case is shown
 * 1. nothing else is thrown: no `TypeError`, no `RangeError`, no assertion, no internal error;
 * 2. no more memory is asked for than a multiple of the input: a length is never believed before
 *    it was checked;
 * 3. what `check` of the target says of an accepted value.
 *
 * That it ends at all is the business of the test's own timeout. One seed is one case.
 */
import { type ErrorCode, isHoldfastError } from '@holdfast/core';
import { ByteMutator } from './byte-mutator.ts';
import { SeededRandom } from './seeded-random.ts';

export interface FuzzTarget<Value = unknown> {
  /** For `npm run fuzz -- --only`. */
  readonly name: string;
  /** Valid inputs. */
  readonly corpus: readonly Buffer[];
  readonly tokens?: readonly (string | Buffer)[];
  /** The codes it may throw, each of which some thousand cases produce. */
  readonly codes: readonly ErrorCode[];
  /** Codes it may throw that take luck. */
  readonly rareCodes?: readonly ErrorCode[];
  /** Other errors that are its contract, e.g. a `SyntaxError` for a caller that expects one. */
  readonly allows?: (error: unknown) => boolean;
  /** Makes checksums right again, so that a mutant reaches the decoder behind them. */
  readonly reseal?: (mutant: Buffer, random: SeededRandom) => Buffer;
  readonly parse: (input: Buffer) => Value | Promise<Value>;
  /** Throws when an accepted value is wrong. `sealed`: its checksums were made right. */
  check?(value: Value, input: Buffer, sealed: boolean): void | Promise<void>;
  /** Bytes it may ask for beyond `64 * input length`. Default 1 MiB. */
  readonly allowedBytes?: number;
  /** Mutants never grow beyond this. Default 1 MiB. */
  readonly maxBytes?: number;
  /** How many cases stand for one of an ordinary target: larger for slow ones. Default 1. */
  readonly cost?: number;
}

export interface FuzzReport {
  readonly cases: number;
  readonly accepted: number;
  /** By code. */
  readonly refused: ReadonlyMap<string, number>;
}

const RESEALED = 0.7;
const SHOWN_BYTES = 400;
const FACTOR = 64;

/** Rejects at the first case that breaks a promise, naming how to replay it. */
export async function fuzz<Value>(
  target: FuzzTarget<Value>,
  { seed: first, count }: { readonly seed: number; readonly count: number },
): Promise<FuzzReport> {
  const mutator = new ByteMutator(target);
  const refused = new Map<string, number>();
  let accepted = 0;
  for (let seed = first; seed < first + count; seed++) {
    const random = new SeededRandom(seed);
    const mutant = mutator.mutant(random);
    const sealed = target.reseal !== undefined && random.chance(RESEALED);
    const input = sealed ? (target.reseal?.(mutant, random) ?? mutant) : mutant;
    try {
      const code = await runCase(target, input, sealed);
      if (code === undefined) accepted++;
      else refused.set(code, (refused.get(code) ?? 0) + 1);
    } catch (cause) {
      const shown = input.toString('latin1', 0, SHOWN_BYTES);
      throw new Error(
        `${target.name} breaks, replay with: npm run fuzz -- --only ${target.name} --seed ${seed} ` +
          `--cases 1\n${String(cause)}\ninput of ${input.length} bytes: ${JSON.stringify(shown)}`,
        { cause },
      );
    }
  }
  return { cases: count, accepted, refused };
}

/** The code it was refused with, if it was. */
async function runCase<Value>(
  target: FuzzTarget<Value>,
  input: Buffer,
  sealed: boolean,
): Promise<string | undefined> {
  // A parser may own its input, and the check wants to see what it was.
  const copy = target.check === undefined ? input : Buffer.from(input);
  const allowed = FACTOR * input.length + (target.allowedBytes ?? 1024 * 1024);
  const meter = new AllocationMeter(allowed);
  let value: Value;
  try {
    value = await meter.over(() => target.parse(input));
  } catch (error) {
    const codes = [...target.codes, ...(target.rareCodes ?? [])];
    if (isHoldfastError(error) && codes.includes(error.code)) return error.code;
    if (target.allows?.(error) === true) return 'allowed';
    throw error;
  }
  await target.check?.(value, copy, sealed);
  return undefined;
}

type Allocator = (size: number, ...rest: unknown[]) => Buffer;
const ALLOCATORS = ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const;

/** Counts the bytes of the buffers that are made meanwhile; refuses one that is beyond all. */
class AllocationMeter {
  readonly #allowed: number;
  #bytes = 0;

  constructor(allowed: number) {
    this.#allowed = allowed;
  }

  async over<Value>(act: () => Value | Promise<Value>): Promise<Value> {
    const originals = ALLOCATORS.map((name) => Reflect.get(Buffer, name) as Allocator);
    ALLOCATORS.forEach((name, index) => {
      const original = originals[index] as Allocator;
      Reflect.set(Buffer, name, (size: number, ...rest: unknown[]) => {
        this.#count(size);
        return original.call(Buffer, size, ...rest);
      });
    });
    try {
      return await act();
    } finally {
      ALLOCATORS.forEach((name, index) => Reflect.set(Buffer, name, originals[index]));
      this.#judge(); // again: the parser may have caught it
    }
  }

  #count(size: number): void {
    this.#bytes += size;
    this.#judge();
  }

  #judge(): void {
    if (this.#bytes <= this.#allowed) return;
    throw new Error(`asks for memory bytes=${this.#bytes} allowed=${this.#allowed}`);
  }
}

/** What one `npm test` runs of a target; `HOLDFAST_SEED` and `HOLDFAST_FUZZ_CASES` change it. */
export function fuzzRange(target: FuzzTarget): { seed: number; count: number } {
  const cases = Number(process.env['HOLDFAST_FUZZ_CASES'] ?? 3_000);
  const seed = Number(process.env['HOLDFAST_SEED'] ?? 1);
  return { seed, count: Math.ceil(cases / (target.cost ?? 1)) };
}
