/**
 * `npm start`: prepares the clone, then runs `holdfast serve ./data`. Arguments after `--` go to
 * `serve`; a first one that is no flag replaces the directory, and `--memory` needs none.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import path from 'node:path';
import { prepare, ROOT } from './prepare.mjs';

/** A terminal and npm both pass on the same Ctrl-C; within this time the second is an echo. */
const ECHO_MS = 500;

prepare();

const args = process.argv.slice(2);
const ownPlace = args.includes('--memory') || (args.length > 0 && !args[0].startsWith('-'));
const serve = ['serve', ...(ownPlace ? [] : ['./data']), ...args];

// A process group of its own: the terminal's Ctrl-C comes to this process alone, which hands it on
// once. Otherwise the node would see two and take the second for "stop at once".
const node = spawn(process.execPath, [path.join(ROOT, 'packages/cli/dist/main.js'), ...serve], {
  cwd: ROOT,
  stdio: 'inherit',
  detached: true,
});

let lastSignalMs = -Infinity;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    const nowMs = performance.now();
    if (nowMs - lastSignalMs > ECHO_MS) node.kill(signal);
    lastSignalMs = nowMs;
  });
}

node.on('error', (error) => {
  process.stderr.write(`holdfast: ${error.message}\n`);
  process.exitCode = 1;
});
node.on('exit', (code, signal) => {
  process.exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal];
});
