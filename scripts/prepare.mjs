/**
 * Brings a clone to the point where its own code can run: right Node, packages installed, dist built.
 * Plain Node without dependencies, because it runs before there are any. Everything it says goes to
 * stderr; stdout belongs to the command that follows.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The oldest Node that `engines` of package.json admits. */
const OLDEST_NODE = [20, 19];

/** Ends the process with a reason where a step fails: nothing after it could work. */
export function prepare() {
  requireNode();
  if (installIsStale()) step('installing packages (npm ci)', npm(['ci']));
  // The compiler itself knows what is stale, by content and not by time.
  step('building (tsc -b)', [process.execPath, inModules('typescript/bin/tsc'), '-b']);
}

/** A file of an installed package. */
export function inModules(file) {
  return path.join(ROOT, 'node_modules', file);
}

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldMajor, oldMinor] = OLDEST_NODE;
  if (major > oldMajor || (major === oldMajor && minor >= oldMinor)) return;
  fail(
    `Holdfast needs Node ${OLDEST_NODE.join('.')} or newer; this is ${process.versions.node}.\n` +
      'Install a newer one from https://nodejs.org and run the same command again.',
  );
}

/** npm writes its hidden lockfile at the end of every install, so an interrupted one is seen too. */
function installIsStale() {
  const installed = inModules('.package-lock.json');
  if (!existsSync(installed)) return true;
  return statSync(installed).mtimeMs < statSync(path.join(ROOT, 'package-lock.json')).mtimeMs;
}

/** The npm that started this script where there is one, because `npm` may not be on the PATH. */
export function npm(args) {
  const npm = process.env.npm_execpath;
  return npm?.endsWith('.js') ? [process.execPath, npm, ...args] : ['npm', ...args];
}

function step(title, [command, ...args]) {
  const started = performance.now();
  process.stderr.write(`holdfast: ${title} ... `);
  const run = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 * 1024 ** 2 });
  if (run.status === 0) {
    process.stderr.write(`${((performance.now() - started) / 1000).toFixed(1)} s\n`);
    return;
  }
  process.stderr.write(`failed\n${run.stdout ?? ''}${run.stderr ?? ''}`);
  fail(run.error ? `${command}: ${run.error.message}` : `${title} failed; see above.`);
}

function fail(message) {
  process.stderr.write(`holdfast: ${message}\n`);
  process.exit(1);
}
