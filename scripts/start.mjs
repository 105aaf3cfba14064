/**
 * `npm start`: prepares the clone, then runs `holdfast serve` in this process; its data is in
 * `./data` unless the environment or an argument says otherwise. Arguments after `--` go to `serve`.
 *
 * package.json says `exec node`, so that no shell stands between npm and this process: a shell
 * would die of the signal that is meant for the node, and npm would report that instead of 0.
 */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { prepare, ROOT } from './prepare.mjs';

/** A terminal and npm both hand on the same Ctrl-C; within this time the second is an echo. */
const ECHO_MS = 500;

prepare();

const args = process.argv.slice(2);
const command = path.join(ROOT, 'packages/cli/dist/main.js');
process.argv = [process.execPath, command, 'serve', ...args];

dropSignalEchoes();
await import(pathToFileURL(command).href);

/** Otherwise the node would take the echo for a second Ctrl-C, which means "stop at once". */
function dropSignalEchoes() {
  const emit = process.emit.bind(process);
  const lastMs = new Map();
  process.emit = function (event, ...rest) {
    if (event === 'SIGINT' || event === 'SIGTERM') {
      const nowMs = performance.now();
      const echo = nowMs - (lastMs.get(event) ?? -Infinity) < ECHO_MS;
      lastMs.set(event, nowMs);
      if (echo) return true;
    }
    return emit(event, ...rest);
  };
}
