/** A process that writes until it is killed, and says on its output what was acknowledged. */
import { writeSync } from 'node:fs';
import { type EmbeddedKind, openEmbedded } from './open-embedded.ts';

const [kind, directory = ''] = process.argv.slice(2);
const store = await openEmbedded(kind as EmbeddedKind, directory);
await Promise.all(
  Array.from({ length: 8 }, async (_, at) => {
    const key = `k${at}`;
    const found = await store.get(key);
    const first = found === undefined ? 0 : Number(Buffer.from(found).toString().trim()) + 1;
    for (let round = first; ; round++) {
      await store.put(key, Buffer.from(String(round).padEnd(1 + at * 500)));
      writeSync(1, `${key} ${round}\n`);
    }
  }),
);
