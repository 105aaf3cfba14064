/** The linter and the cruiser are told what to forbid by configuration: here each must bark once. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ROOT } from './tidy.ts';

const clone = mkdtempSync(path.join(tmpdir(), 'holdfast-guards-'));
afterAll(() => rmSync(clone, { recursive: true, force: true }));

const CONFIGURATION = ['.oxlintrc.json', '.dependency-cruiser.cjs', 'tsconfig.tests.json'];
for (const file of [...CONFIGURATION, 'tsconfig.base.json', 'package.json']) {
  copyFileSync(path.join(ROOT, file), path.join(clone, file));
}
mkdirSync(path.join(clone, 'node_modules/@holdfast'), { recursive: true });
symlinkSync(path.join(ROOT, 'node_modules/@types'), path.join(clone, 'node_modules/@types'));
symlinkSync('../../packages/database', path.join(clone, 'node_modules/@holdfast/database'));

function plant(file: string, text: string): void {
  mkdirSync(path.dirname(path.join(clone, file)), { recursive: true });
  writeFileSync(path.join(clone, file), text);
}

function run(tool: string, ...args: string[]): string {
  const command = [path.join(ROOT, 'node_modules', tool), ...args];
  const { stdout, stderr } = spawnSync(process.execPath, command, { cwd: clone, encoding: 'utf8' });
  return stdout + stderr;
}

describe('the linter', () => {
  const FORBIDDEN: [code: string, rule: string][] = [
    ['export const a = Date.now();', 'no-restricted-properties'],
    ['const { now } = Date; export const a = now();', 'no-restricted-properties'],
    ['export const a = performance.now();', 'no-restricted-globals'],
    ['export const a = Math.random();', 'no-restricted-properties'],
    ['export const a = process.hrtime.bigint();', 'no-restricted-properties'],
    ['setTimeout(() => {}, 1);', 'no-restricted-globals'],
    ['globalThis.setTimeout(() => {}, 1);', 'no-restricted-properties'],
    ['setInterval(() => {}, 1);', 'no-restricted-globals'],
    ['setImmediate(() => {});', 'no-restricted-globals'],
    ['export const a = crypto.randomUUID();', 'no-restricted-globals'],
    ["export { readFileSync } from 'node:fs';", 'no-restricted-imports'],
    ["export const a = await import('node:fs/promises');", 'no-restricted-imports'],
    ["import { setTimeout as s } from 'node:timers/promises'; s(1);", 'no-restricted-imports'],
    ["import { randomBytes } from 'node:crypto'; randomBytes(1);", 'no-restricted-imports'],
    ["import { randomUUID as u } from 'node:crypto'; u();", 'no-restricted-imports'],
    ["import * as c from 'node:crypto'; c.randomInt(1);", 'no-restricted-imports'],
    ["console.log('x');", 'no-console'],
    ['export default 1;', 'no-default-export'],
    ['export const a = (x: any) => x;', 'no-explicit-any'],
    ["export function a() { throw 'text'; }", 'only-throw-error'],
    ['async function a() {} export function b() { a(); }', 'no-floating-promises'],
    [`export function a() {${'\n;[].at(0);'.repeat(70)}\n}`, 'max-lines-per-function'],
    ['\nexport {};'.repeat(601), 'max-lines)'],
  ];
  const folder = 'packages/core/src';

  test('forbids each of these in product code, and nothing like it in the seams', () => {
    const tsconfig = '{ "extends": "../../tsconfig.base.json", "include": ["src"] }';
    plant('packages/core/tsconfig.json', tsconfig);
    FORBIDDEN.forEach(([code], index) => plant(`${folder}/planted-${index}.ts`, code));
    plant(`${folder}/node-clock.ts`, 'export const a = Date.now();\n');
    plant(`${folder}/clock.test.ts`, 'export const a = Date.now();\n');
    const found = run('oxlint/bin/oxlint', '--type-aware', '-f', 'unix', 'packages').split('\n');
    for (const [index, [code, rule]] of FORBIDDEN.entries()) {
      const bites = found.some(
        (line) => line.includes(`planted-${index}.ts`) && line.includes(rule),
      );
      expect(bites, `${rule}: ${code.slice(0, 80)}`).toBe(true);
    }
    expect(found.filter((line) => /node-clock|clock\.test/.test(line))).toEqual([]);
  });
});

describe('the cruiser', () => {
  test('forbids imports upward, across, in circles and from tests', () => {
    rmSync(path.join(clone, 'packages'), { recursive: true, force: true });
    plant('packages/log/src/index.ts', "import '@holdfast/database';\n");
    plant('packages/database/src/index.ts', 'export {};\n');
    plant('packages/database/package.json', '{ "exports": { ".": "./src/index.ts" } }');
    plant('packages/core/src/one.ts', "import './two.ts';\n");
    plant('packages/core/src/two.ts', "import './one.ts';\n");
    plant('packages/core/src/three.ts', "import './one.test.ts';\n");
    plant('packages/core/src/four.ts', "import './absent.ts';\n");
    plant('packages/core/src/one.test.ts', "import '../../log/src/index.ts';\n");
    plant('packages/unplaced/src/index.ts', "import 'node:path';\n");
    const found = run('dependency-cruiser/bin/dependency-cruise.mjs', 'packages');
    expect(found).toMatch(/layer-log: packages\/log\/src\/index\.ts → packages\/database/);
    expect(found).toMatch(/no-cycles: packages\/core\/src\/(one|two)\.ts/);
    expect(found).toMatch(/no-test-code-in-src: packages\/core\/src\/three\.ts/);
    expect(found).toMatch(/resolvable: packages\/core\/src\/four\.ts/);
    expect(found).toMatch(/by-package-name: packages\/core\/src\/one\.test\.ts/);
    expect(found).toMatch(/placed-package: packages\/unplaced\/src\/index\.ts/);
    expect(found).not.toMatch(/layer-core: .*one\.test\.ts/);
  });
});
