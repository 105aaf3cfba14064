/**
 * The quick way to judge a history of one append-only stream that was never deleted. What it holds
 * at the end gives the order of its appends, so nothing has to be searched: each operation has a
 * place in that order, and one that returned before another was invoked must not come behind it.
 * Exact, in O(n log n); `linearizability.ts` says the same of the same history, slower.
 */
export interface AppendObservation {
  readonly kind: 'append';
  /** Unique in the history. */
  readonly message: string;
  /** False: nobody knows whether it happened. */
  readonly acknowledged: boolean;
  readonly invoked: number;
  /** When it was over for certain; `Infinity` when it may still take effect. */
  readonly returned: number;
}

export interface ReadObservation {
  readonly kind: 'read';
  /** How many messages come before the first one of `messages`. */
  readonly from: number;
  readonly messages: readonly string[];
  /** Nothing was behind them then; otherwise something was. A HEAD is an empty read at the end. */
  readonly upToDate: boolean;
  readonly invoked: number;
  readonly returned: number;
}

export type StreamObservation = AppendObservation | ReadObservation;

/** Where an operation stands: not before `after` messages were there, nor when more than `before`. */
interface Placed {
  readonly observation: StreamObservation;
  readonly before: number;
  readonly after: number;
}

/**
 * @param content all messages at the end, in order.
 * @returns what is wrong; `undefined` when nothing is.
 */
export function checkAppendOnly(
  content: readonly string[],
  history: readonly StreamObservation[],
): string | undefined {
  const places = new Map<string, number>();
  for (const [index, message] of content.entries()) {
    if (places.has(message)) return `twice in the stream: ${message}`;
    places.set(message, index);
  }
  const placed: Placed[] = [];
  const known = new Set<string>();
  for (const observation of history) {
    if (observation.kind === 'read') {
      const wrong = wrongRead(content, observation);
      if (wrong !== undefined) return wrong;
      const end = observation.from + observation.messages.length;
      placed.push(
        observation.upToDate
          ? { observation, before: end, after: end }
          : { observation, before: Infinity, after: end + 1 },
      );
      continue;
    }
    const { message, acknowledged } = observation;
    const place = places.get(message);
    known.add(message);
    if (place !== undefined) placed.push({ observation, before: place, after: place + 1 });
    else if (acknowledged) return `acknowledged and lost: ${message}`;
  }
  const stranger = content.find((message) => !known.has(message));
  if (stranger !== undefined) return `never sent: ${stranger}`;
  return wrongOrder(placed);
}

function wrongRead(content: readonly string[], read: ReadObservation): string | undefined {
  for (const [index, message] of read.messages.entries()) {
    const kept = content[read.from + index];
    if (kept !== message) return `read ${message} at ${read.from + index}, where ${kept} is`;
  }
  const end = read.from + read.messages.length + (read.upToDate ? 0 : 1);
  if (end > content.length) return `read up to ${end}, which is behind the end`;
  return undefined;
}

/** Walks through time and remembers how long the stream was by what has returned. */
function wrongOrder(placed: readonly Placed[]): string | undefined {
  const byReturn = [...placed].sort((a, b) => a.observation.returned - b.observation.returned);
  const byInvocation = [...placed].sort((a, b) => a.observation.invoked - b.observation.invoked);
  let length = 0;
  let next = 0;
  for (const one of byInvocation) {
    for (; next < byReturn.length; next++) {
      const other = byReturn[next] as Placed;
      if (other.observation.returned >= one.observation.invoked) break;
      length = Math.max(length, other.after);
    }
    if (one.before < length) {
      return `${describe(one)} began when ${length} messages were there already`;
    }
  }
  return undefined;
}

function describe({ observation }: Placed): string {
  return observation.kind === 'append'
    ? `append of ${observation.message}`
    : `read from ${observation.from} of ${observation.messages.length}`;
}
