/** The published State Protocol package over the real server. */
import { DurableStream, stream } from '@durable-streams/client';
import { MaterializedState, isChangeEvent, type StateEvent } from '@durable-streams/state';
import { describe, expect, it } from 'vitest';
import { useServer } from './use-server.ts';

const server = useServer();

interface User {
  readonly name: string;
  readonly visits: number;
}

function change(operation: 'insert' | 'update' | 'delete', key: string, value?: User): string {
  return JSON.stringify({ type: 'user', key, value, headers: { operation } });
}

async function materialise(url: string): Promise<MaterializedState> {
  const state = new MaterializedState();
  const response = await stream<StateEvent>({ url, offset: '-1', live: false, json: true });
  for (const event of await response.json<StateEvent>()) {
    if (isChangeEvent(event)) state.apply(event);
  }
  return state;
}

describe('state protocol', () => {
  it('inserts, updates and deletes materialise, and again after a restart', async () => {
    const url = server().stream('state/users');
    const handle = await DurableStream.create({ url, contentType: 'application/json' });
    const model = new Map<string, User>();
    for (let index = 0; index < 300; index++) {
      const key = `u${index % 40}`;
      const value = { name: `ü "${index}" \u2028`, visits: index };
      const known = model.has(key);
      if (known && index % 7 === 0) {
        model.delete(key);
        await handle.append(change('delete', key));
      } else {
        model.set(key, value);
        await handle.append(change(known ? 'update' : 'insert', key, value));
      }
    }
    await handle.append(JSON.stringify({ headers: { control: 'snapshot-end' } }));

    expect((await materialise(url)).getType('user')).toEqual(model);
    await server().stop();
    await server().restart();
    expect((await materialise(url)).getType('user')).toEqual(model);
  }, 60_000);

  it('a live state follows its writer', async () => {
    const url = server().stream('state/live');
    const handle = await DurableStream.create({ url, contentType: 'application/json' });
    const state = new MaterializedState();
    const response = await stream<StateEvent>({ url, offset: '-1', live: 'sse', json: true });
    const reading = (async () => {
      for await (const event of response.jsonStream()) {
        if (isChangeEvent(event)) state.apply(event);
      }
    })();
    await handle.append(change('insert', 'a', { name: 'a', visits: 1 }));
    await handle.append(change('insert', 'b', { name: 'b', visits: 1 }));
    await handle.append(change('update', 'a', { name: 'a', visits: 2 }));
    await handle.close({ body: change('delete', 'b') });
    await reading;
    expect(state.getType('user')).toEqual(new Map([['a', { name: 'a', visits: 2 }]]));
  });
});
