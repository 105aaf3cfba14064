/**
 * `npm run pack`: packs every package as npm would publish it, looks inside each tarball, then
 * installs all of them in an empty folder and asks the installed `holdfast` for its version.
 * With `-- --keep <folder>` the tarballs stay in that folder.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { npm, prepare, ROOT } from './prepare.mjs';

prepare();

const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-pack-'));
const keep = process.argv.indexOf('--keep');
const destination = keep > 0 ? path.resolve(process.argv[keep + 1] ?? 'tarballs') : scratch;
mkdirSync(destination, { recursive: true });

const tarballs = [];
for (const name of readdirSync(path.join(ROOT, 'packages'))) {
  const folder = path.join(ROOT, 'packages', name);
  const manifest = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  const [packed] = JSON.parse(
    npmOutput(['pack', folder, '--json', '--pack-destination', destination]),
  );
  const tarball = path.join(destination, packed.filename);
  tarballs.push(tarball);
  inspect(
    manifest,
    packed.files.map((file) => file.path),
  );
  const bytes = readFileSync(tarball);
  const { messages, pkg } = await publint({
    level: 'warning',
    strict: true,
    pack: { tarball: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) },
  });
  for (const message of messages) complain(manifest.name, formatMessage(message, pkg));
  const kib = Math.ceil(packed.size / 1024);
  console.log(`${manifest.name}: ${packed.files.length} files, ${kib} KiB`);
}

npmOutput(['install', '--prefix', scratch, '--no-save', '--no-audit', '--no-fund', ...tarballs]);
const command = path.join(scratch, 'node_modules/.bin/holdfast');
const run = spawnSync(command, ['--version'], { encoding: 'utf8' });
if (run.status !== 0) complain('holdfast --version', run.error?.message ?? run.stderr);
else console.log(`installed from the tarballs: holdfast ${run.stdout.trim()}`);
rmSync(scratch, { recursive: true, force: true });

/** What the manifest points at is there; what only we need is not. */
function inspect(manifest, files) {
  const entry = manifest.exports['.'];
  const wanted = [...Object.values(entry), ...Object.values(manifest.bin ?? {}), 'LICENSE'];
  for (const file of wanted.map((each) => each.replace('./', ''))) {
    if (!files.includes(file)) complain(manifest.name, `${file} is not in the tarball`);
  }
  for (const file of files) {
    if (/\.test\.|\.tsbuildinfo$/.test(file)) complain(manifest.name, `${file} is in the tarball`);
  }
}

function npmOutput(args) {
  const [command, ...all] = npm(args);
  const run = spawnSync(command, all, {
    cwd: scratch,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 ** 2,
  });
  if (run.status === 0) return run.stdout;
  throw new Error(`npm ${args[0]} failed: ${run.stderr || run.error?.message}`);
}

function complain(where, what) {
  console.error(`${where}: ${what}`);
  process.exitCode = 1;
}
