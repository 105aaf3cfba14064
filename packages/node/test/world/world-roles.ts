/**
 * What the clients of a world do. Each role is a loop that goes on until it has done its share, or
 * until the world is finishing; then those with something pending bring it to a definite end.
 *
 * As to requests nobody answered there are three kinds of clients: one gives up, one tries again,
 * one goes on with something else.
 */
import type { Outcome, WorldClient } from './world-client.ts';
import { tailOverSse, type TailState } from './live-tail.ts';

export interface WorldStreams {
  /** Paths that exist; forks are added as they are made. */
  readonly paths: { path: string; json: boolean }[];
  /** Nothing fails any more; what is under way is brought to its end. */
  finishing: boolean;
  /** Nobody writes any more. */
  quiet: boolean;
}

export type Role = (client: WorldClient, world: WorldStreams) => Promise<void>;

type Kind = 'gives-up' | 'retries' | 'defers';
const KINDS: readonly Kind[] = ['gives-up', 'retries', 'defers'];
const STEPS = 14;
/** In a world without faults something has to come of it after so many attempts. */
const PATIENCE = 200;

/** Until there is a definite answer; once the faults are over there must be one soon. */
async function insist(
  client: WorldClient,
  world: WorldStreams,
  attempt: () => Promise<Outcome>,
): Promise<string> {
  for (let finishing = 0; finishing < PATIENCE; finishing += world.finishing ? 1 : 0) {
    const outcome = await attempt();
    if (outcome.kind === 'answered') return outcome.output.answer;
    await client.pause(30);
  }
  throw new Error(`no definite answer for ${client.name} although nothing fails any more`);
}

/**
 * Exactly once: numbers, epochs raised at restarts, sometimes two appends under way at once.
 * @param firstEpoch 0 or 1: two writers that share an id never share an epoch.
 */
export function producer(path: string, json: boolean, id: string, firstEpoch: 0 | 1): Role {
  return async (client, world) => {
    let epoch: number = firstEpoch;
    let seq = 0;
    /** @param before the answer to the one before it, when both are under way. */
    const send = (at: number, before?: { answer?: string }): Promise<string> => {
      const count = json ? client.random.between(1, 3) : 1;
      const messages = Array.from({ length: count }, () => client.message(json));
      const input = { messages, close: false, producer: { id, epoch, seq: at } };
      return insist(client, world, async () => {
        const outcome = await client.append(path, json, input);
        if (before === undefined || outcome.kind !== 'answered') return outcome;
        const early = outcome.output.answer.startsWith('PRODUCER_SEQ_GAP');
        const mayCome = before.answer === undefined || isKept(before.answer);
        return early && mayCome ? { kind: 'refused' } : outcome;
      });
    };
    for (let step = 0; step < STEPS && !world.finishing; step++) {
      const before: { answer?: string } = {};
      const sent = [send(seq)];
      if (client.random.chance(0.3)) sent.push(send(seq + 1, before));
      const first = (before.answer = await (sent[0] as Promise<string>));
      await sent[1];
      const fence = /^PRODUCER_FENCED epoch=(\d+)/.exec(first);
      if (fence !== null) {
        const current = Number(fence[1]);
        epoch = current + ((current - firstEpoch) % 2 === 0 ? 2 : 1);
        seq = 0;
      } else if (isKept(first)) {
        seq += sent.length;
        if (client.random.chance(0.1)) {
          epoch += 2; // a restart: whatever it did not hear of stays what it is
          seq = 0;
        }
      } else {
        return; // closed, or gone
      }
      await client.pause(25);
    }
  };
}

function isKept(answer: string): boolean {
  return answer.startsWith('new ') || answer.startsWith('kept ');
}

/** Appends without numbers: what is sent again is sent as something new. */
export function appender(path: string, json: boolean, withSeq: boolean): Role {
  return async (client, world) => {
    const kind = client.random.pick(KINDS);
    let number = client.random.integer(3);
    for (let step = 0; step < STEPS && !world.finishing; step++) {
      const streamSeq = withSeq ? String(1000 + number) : undefined;
      number = Math.max(0, number + client.random.between(-2, 3)); // a lower one is refused, for ever
      const count = json ? client.random.between(1, 3) : 1;
      const outcome = await client.append(path, json, {
        messages: Array.from({ length: count }, () => client.message(json)),
        close: false,
        ...(streamSeq === undefined ? {} : { streamSeq }),
      });
      if (outcome.kind === 'unknown') {
        if (kind === 'gives-up') return;
        if (kind === 'retries') continue;
      }
      await client.pause(25);
    }
  };
}

/** Reads to the end again and again, from the start or from where it was; sometimes asks HEAD. */
export function reader(
  choose: (world: WorldStreams) => { path: string; fromStart: boolean },
): Role {
  return async (client, world) => {
    const offsets = new Map<string, string>();
    for (let step = 0; step < STEPS * 2 && !world.finishing; step++) {
      const { path, fromStart } = choose(world);
      if (client.random.chance(0.3)) {
        await client.head(path);
      } else {
        const offset = fromStart || client.random.chance(0.3) ? '-1' : (offsets.get(path) ?? 'now');
        const outcome = await client.read(path, offset);
        const read = outcome.kind === 'answered' ? outcome.output.read : undefined;
        if (read !== undefined) offsets.set(path, read.to);
        if (read !== undefined && !read.upToDate) continue;
      }
      await client.pause(25);
    }
  };
}

/** Follows a stream until it is closed, or the world ends and it has everything. */
export function tailer(path: string, json: boolean, tail: TailState): Role {
  return async (client, world) => {
    const overSse = client.random.chance(0.6);
    let finishing = 0;
    let complete = false;
    while (!tail.closed && !tail.over && !complete) {
      if (world.quiet && ++finishing > PATIENCE) throw new Error(`${client.name} never caught up`);
      if (overSse && !world.quiet) {
        await tailOverSse(client, path, json, tail, () => world.quiet);
      } else {
        const wasQuiet = world.quiet;
        const outcome = await client.read(path, tail.offset, true);
        if (outcome.kind === 'answered') {
          const { read } = outcome.output;
          if (read === undefined) {
            tail.over = true;
          } else {
            tail.offset = read.to;
            tail.text += read.text;
            tail.closed = read.closed;
            complete = wasQuiet && read.upToDate;
          }
        }
      }
      if (client.random.chance(0.5)) await client.pause(15);
    }
  };
}

/** Closes after a while, with or without a last message. */
export function closer(path: string, json: boolean): Role {
  return async (client, world) => {
    await client.pause(1500);
    const messages = client.random.chance(0.5) ? [client.message(json)] : [];
    for (let i = 0; i < 2; i++) {
      const producer = messages.length > 0 ? { producer: { id: 'closer', epoch: 0, seq: 0 } } : {};
      await insist(client, world, () =>
        client.append(path, json, { messages, close: true, ...producer }),
      );
      await client.pause(40);
    }
  };
}

/** Deletes a stream and makes it anew, again and again. */
export function replacer(path: string, json: boolean): Role {
  return async (client, world) => {
    for (let step = 0; step < STEPS && !world.finishing; step++) {
      await client.pause(60);
      if (client.random.chance(0.5)) {
        await client.delete(path);
      } else {
        const messages = client.random.chance(0.5) ? [client.message(json)] : [];
        await client.create(path, json, { messages, closed: false });
      }
    }
  };
}

/** Deletes once, late: forks keep what they inherited. */
export function remover(path: string): Role {
  return async (client, world) => {
    await client.pause(1500);
    await insist(client, world, () => client.delete(path));
  };
}

/** Forks streams at a place it has read up to. */
export function forker(sources: readonly { path: string; json: boolean }[]): Role {
  return async (client, world) => {
    for (let step = 0; step < 4 && !world.finishing; step++) {
      await client.pause(200);
      const source = client.random.pick(sources);
      const outcome = await client.read(source.path, '-1');
      const read = outcome.kind === 'answered' ? outcome.output.read : undefined;
      if (read === undefined) continue;
      const path = `fork-${client.name}-${step}`;
      const own = client.random.chance(0.4) ? [client.message(source.json)] : [];
      const inherited = read.text.match(/[^;,]*[;,]/g) ?? [];
      const fork = { source: source.path, at: read.to };
      const input = { messages: [...inherited, ...own], closed: false, fork };
      world.paths.push({ path, json: source.json });
      await client.create(path, source.json, input, own);
      if (client.random.chance(0.5)) await client.create(path, source.json, input, own);
      for (let i = client.random.integer(3); i > 0; i--) {
        const messages = [client.message(source.json)];
        await client.append(path, source.json, { messages, close: false });
      }
      if (client.random.chance(0.2)) await client.delete(path);
    }
  };
}

/** Uses a stream that expires, and stays away from it now and then. */
export function visitor(path: string, json: boolean, ttlMs: number): Role {
  return async (client, world) => {
    for (let step = 0; step < STEPS && !world.finishing; step++) {
      const dice = client.random.integer(6);
      if (dice === 0) await client.create(path, json, { messages: [], closed: false, ttlMs });
      else if (dice === 1) await client.head(path);
      else if (dice === 2) await client.pause(ttlMs * 1.5);
      else if (dice === 3) await client.read(path, '-1');
      else await client.append(path, json, { messages: [client.message(json)], close: false });
      await client.pause(40);
    }
  };
}
