/**
 * Patterns over paths (PROTOCOL 6.2): `*` is one segment, `**` any number of them, also none;
 * every other segment stands for itself. No regular expression is made from input, and the time
 * to match is at most segments of the pattern times segments of the path.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';

/** First segment of the paths that belong to the protocol: no pattern matches them. */
export const RESERVED_SEGMENT = '__ds';

/** Would not come back from the log as it went in. */
const LONE_SURROGATE = /\p{Surrogate}/u;

const ONE = '*';
const ANY = '**';

export class PathPattern {
  readonly text: string;
  readonly segments: readonly string[];

  private constructor(text: string, segments: readonly string[]) {
    this.text = text;
    this.segments = segments;
  }

  /** Throws `INVALID_SUBSCRIPTION`. */
  static parse(text: string): PathPattern {
    if (
      text === '' ||
      Buffer.byteLength(text) > LIMITS.maxPatternBytes ||
      LONE_SURROGATE.test(text)
    ) {
      throw invalid(`a pattern has 1 to ${LIMITS.maxPatternBytes} bytes of utf-8`);
    }
    const segments: string[] = [];
    for (const segment of text.split('/')) {
      if (segment === '') throw invalid('a pattern has no empty segments');
      if (segment.includes('*') && segment !== ONE && segment !== ANY) {
        throw invalid('in a pattern * and ** are whole segments');
      }
      // One of several in a row says the same, and is cheaper.
      if (segment !== ANY || segments.at(-1) !== ANY) segments.push(segment);
    }
    if (segments[0] === RESERVED_SEGMENT) throw invalid('a pattern cannot match reserved paths');
    return new PathPattern(text, segments);
  }

  matches(path: string): boolean {
    if (isReservedPath(path)) return false;
    return matchSegments(this.segments, path.split('/'));
  }

  /** Every path it matches begins with this. */
  get literalPrefix(): string {
    const wild = this.segments.findIndex((segment) => segment === ONE || segment === ANY);
    if (wild === -1) return this.text;
    // What stands before `**` may also be the whole path.
    const whole = this.segments[wild] === ANY;
    const prefix = this.segments.slice(0, wild).join('/');
    return prefix === '' || whole ? prefix : `${prefix}/`;
  }
}

export function isReservedPath(path: string): boolean {
  return path === RESERVED_SEGMENT || path.startsWith(`${RESERVED_SEGMENT}/`);
}

/** On a mismatch the last `**` takes one more segment; an earlier one never has to. */
function matchSegments(pattern: readonly string[], path: readonly string[]): boolean {
  let at = 0;
  let next = 0;
  let retryPattern = -1;
  let retryPath = 0;
  while (next < path.length) {
    const wanted = pattern[at];
    if (wanted === ANY) {
      retryPattern = ++at;
      retryPath = next;
    } else if (wanted === ONE || (wanted !== undefined && wanted === path[next])) {
      at++;
      next++;
    } else if (retryPattern !== -1) {
      at = retryPattern;
      next = ++retryPath;
    } else {
      return false;
    }
  }
  while (pattern[at] === ANY) at++;
  return at === pattern.length;
}

function invalid(message: string): HoldfastError {
  return new HoldfastError('INVALID_SUBSCRIPTION', message);
}
