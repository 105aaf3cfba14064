/**
 * Opens stores in a process in which some packages are not installed, or do not load; says what
 * they say.
 *
 * Arguments: a folder, `missing` or `broken`, and with commas the kinds of stores and the packages.
 */
import { register } from 'node:module';
import { NodeClock, NodeRandom } from '@holdfast/core';
import { openLmdbKvStore } from '@holdfast/kv/backends/lmdb';
import { openNatsKvStore } from '@holdfast/kv/backends/nats';
import { openPostgresKvStore } from '@holdfast/kv/backends/postgres';
import { openRedisKvStore } from '@holdfast/kv/backends/redis';
import { openSqliteKvStore } from '@holdfast/kv/backends/sqlite';

const [directory = '', how, kinds = '', packages = ''] = process.argv.slice(2);

const HOOKS = `
let how, names;
export function initialize(data) { ({ how, names } = data); }
export function resolve(name, context, next) {
  if (!names.includes(name)) return next(name, context);
  if (how === 'broken') return { url: 'broken:' + name, format: 'module', shortCircuit: true };
  const code = name.startsWith('node:') ? 'ERR_UNKNOWN_BUILTIN_MODULE' : 'ERR_MODULE_NOT_FOUND';
  throw Object.assign(new Error('cannot find ' + name), { code });
}
export function load(url, context, next) {
  if (!url.startsWith('broken:')) return next(url, context);
  return { format: 'module', shortCircuit: true, source: 'throw new Error("built for another Node")' };
}
`;
register(`data:text/javascript,${encodeURIComponent(HOOKS)}`, {
  data: { how, names: packages.split(',') },
});

const seams = { clock: new NodeClock(), random: new NodeRandom() };
const id = 'store';
const stores = {
  lmdb: () => openLmdbKvStore(seams, { id, directory }),
  sqlite: () => openSqliteKvStore(seams, { id, directory }),
  postgres: () =>
    openPostgresKvStore(seams, { id, url: 'postgres://127.0.0.1:1/none', table: 't' }),
  redis: () => openRedisKvStore(seams, { id, url: 'redis://127.0.0.1:1', name: 'n' }),
  nats: () => openNatsKvStore(seams, { id, servers: '127.0.0.1:1', bucket: 'b' }),
};
const said: Record<string, unknown> = {};
for (const kind of kinds.split(',') as (keyof typeof stores)[]) {
  said[kind] = await stores[kind]().then(
    () => 'opened',
    ({ code, message, effect }: { code: string; message: string; effect: string }) => ({
      code,
      message,
      effect,
    }),
  );
}
process.stdout.write(JSON.stringify(said));
