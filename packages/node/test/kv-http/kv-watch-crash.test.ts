/**
 * The real server, killed again and again while one client writes and one watches, each going on
 * where it was: the watcher hears of every acknowledged change once, in order.
 */
import { describe, expect, it } from 'vitest';
import { request } from '../http-request.ts';
import { LiveReader } from '../live-reader.ts';
import { ServerProcess } from '../server-process.ts';

const KILLS = 5;

interface Heard {
  readonly id: number;
  readonly key: string;
  readonly text: string;
}

async function answered(put: () => ReturnType<typeof request>): Promise<string | undefined> {
  try {
    const { status, headers } = await put();
    return status === 204 ? String(headers['holdfast-kv-version']) : undefined;
  } catch {
    return undefined; // killed in between: it may have happened
  }
}

/** Until told to stop; gives what was acknowledged, by version. */
async function write(server: ServerProcess, stopped: () => boolean): Promise<Map<number, string>> {
  const acknowledged = new Map<number, string>();
  for (let n = 0; !stopped(); n++) {
    const text = `v${n}`;
    const put = () =>
      request('PUT', `${server.url}/v1/kv/s/k${n % 7}`, { body: text, timeoutMs: 60_000 });
    const version = await answered(put);
    if (version === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    else acknowledged.set(Number(version), text);
  }
  return acknowledged;
}

/** One connection, for as long as it holds; adds to what was heard. */
async function watch(server: ServerProcess, heard: Heard[]): Promise<void> {
  const since = heard.at(-1)?.id ?? 0;
  const reader = await LiveReader.open(`${server.url}/v1/kv/s?watch&values=text&since=${since}`);
  expect(reader.head).toContain('200 OK');
  await reader.closed;
  for (const { event, data, id } of reader.events()) {
    if (event !== 'change') continue;
    const { key, text } = JSON.parse(data) as { key: string; text: string };
    heard.push({ id: Number(id), key, text });
  }
}

describe('a watch over kill -9', () => {
  it('resumes without a gap and without a repeat', async () => {
    await using server = await ServerProcess.start();
    let stop = false;
    const writing = write(server, () => stop);
    const heard: Heard[] = [];
    for (let kill = 0; kill <= KILLS; kill++) {
      const connection = watch(server, heard);
      const goal = (heard.at(-1)?.id ?? 0) + 40 + kill * 13;
      while ((await lastVersion(server)) < goal)
        await new Promise((resolve) => setTimeout(resolve, 5));
      if (kill === KILLS) {
        stop = true;
        await writing;
        await server.stop(); // the watcher gets what is left, and its end
      } else await server.kill();
      await connection;
      if (kill < KILLS) await server.restart();
    }
    const acknowledged = await writing;
    const ids = heard.map(({ id }) => id);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    const texts = new Map(heard.map(({ id, text }) => [id, text]));
    for (const [version, text] of acknowledged)
      expect([version, texts.get(version)]).toEqual([version, text]);
    expect(acknowledged.size).toBeGreaterThan(100);
  }, 180_000);
});

async function lastVersion(server: ServerProcess): Promise<number> {
  const { text } = await request('GET', `${server.url}/v1/kv/s?limit=1000`);
  const { entries } = JSON.parse(text) as { entries: { version: number }[] };
  return Math.max(0, ...entries.map(({ version }) => version));
}
