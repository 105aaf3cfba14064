/**
 * The suite over SQLite with the driver for a Node that has none, on a Node that can load it without
 * compiling it: `.ci/node-smoke` runs this.
 *
 * Argument: the main file of `better-sqlite3`.
 */
import { register } from 'node:module';
import { it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { NodeClock } from '@holdfast/core';
import { openSqliteKvStore } from '@holdfast/kv/backends/sqlite';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { inScratch } from './embedded.ts';

const [driver = ''] = process.argv.slice(2);

const HOOKS = `
let driver;
export function initialize(data) { driver = data; }
export function resolve(name, context, next) {
  if (name === 'better-sqlite3') return next(driver, context);
  if (name !== 'node:sqlite') return next(name, context);
  throw Object.assign(new Error('not here'), { code: 'ERR_UNKNOWN_BUILTIN_MODULE' });
}
`;
register(`data:text/javascript,${encodeURIComponent(HOOKS)}`, { data: pathToFileURL(driver).href });

const clock = new NodeClock();

kvStoreConformance({
  it,
  open: () => inScratch((directory) => openSqliteKvStore({ clock }, { id: 'sqlite', directory })),
});
