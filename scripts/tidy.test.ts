import { expect, test } from 'vitest';
import { PROTOCOL_HEADERS } from './tidy/catalogue-rules.ts';
import { describeFinding, readRepository, ROOT, tidy } from './tidy.ts';

test('this repository is tidy', () => {
  expect(tidy(readRepository(ROOT)).map(describeFinding)).toEqual([]);
});

/** The smallest repository that every rule is content with. */
function cleanRepository(): Map<string, string> {
  return new Map([
    ['packages/core/package.json', '{ "exports": { ".": "./src/index.ts" } }'],
    [
      'packages/core/src/index.ts',
      "export * from './limits.ts';\nexport * from './error-codes.ts';",
    ],
    ['packages/core/src/limits.ts', 'const LIMITS = {\n  /** Bytes. */\n  maxBytes: 1,\n};\n'],
    ['packages/core/src/error-codes.ts', "const CODES = {\n  CLOSED: 'closed',\n};\n"],
    ['packages/streams/package.json', '{ "exports": { ".": "./src/index.ts" } }'],
    ['packages/streams/src/index.ts', "export * from './headers.ts';\nfail('CLOSED', maxBytes);\n"],
    ['packages/streams/src/headers.ts', PROTOCOL_HEADERS.map((name) => `'${name}'`).join(';\n')],
    ['README.md', '# One\n\n[two](docs/two.md#its-part)\n\n```sh run\nls\n```\n'],
    ['docs/two.md', '# Two\n\n## Its part\n'],
    ['package-lock.json', '{ "packages": { "packages/core": {} } }'],
  ]);
}

test('a clean repository has no findings', () => {
  expect(tidy(cleanRepository())).toEqual([]);
});

const PLANTED: [rule: string, file: string, text: string, message: RegExp][] = [
  ['a long file', 'packages/core/src/index.ts', '\n'.repeat(601), /601 lines/],
  ['a long test', 'packages/core/test/x.test.ts', '\n'.repeat(1001), /1001 lines/],
  ['a name that says nothing', 'packages/core/test/string-utils.ts', '', /"utils" names nothing/],
  [
    'a foreign word',
    'packages/core/src/index.ts',
    'class FileAdapter {}',
    /"adapter" in FileAdapter/,
  ],
  ['an underscore', 'packages/core/src/index.ts', 'const _x = 1;', /no leading underscore/],
  ['the clock', 'packages/core/src/index.ts', 'const a = new Date();', /reads the clock/],
  ['the clock as text', 'packages/core/src/index.ts', 'const a = Date();', /reads the clock/],
  [
    'a way around lint',
    'packages/core/src/index.ts',
    "process.getBuiltinModule('fs')",
    /around lint/,
  ],
  ['an exit', 'packages/core/src/index.ts', 'process.exit(1);', /only the cli/],
  ['soft privacy', 'packages/core/src/index.ts', 'class A {\n  private x = 1;\n}', /use #private/],
  ['a stray file', 'packages/core/src/stray.ts', '', /nothing imports/],
  ['a silent skip', 'packages/core/src/a.test.ts', "\nit.skip('x', y);", /without a reason/],
  ['an only', 'packages/core/src/a.test.ts', "test.only('x', y); // why", /hides the other/],
  [
    'an unused limit',
    'packages/core/src/limits.ts',
    '  /** Ms. */\n  idleMs: 1,',
    /idleMs is used/,
  ],
  ['a bare limit', 'packages/core/src/limits.ts', 'x\n  maxBytes: 1,', /has no comment/],
  ['an unused code', 'packages/core/src/error-codes.ts', "  LOST: 'x',", /LOST is used nowhere/],
  [
    'a code reserved and used',
    'packages/core/src/error-codes.ts',
    "  CLOSED: 'x', // reserved: kv",
    /used and marked reserved/,
  ],
  [
    'a cut point in no list',
    'packages/core/src/index.ts',
    "await cut('log.torn');",
    /log\.torn is in no list/,
  ],
  [
    'a cut point nobody passes',
    'packages/core/src/index.ts',
    "const LOG_CUT_POINTS = [\n  'log.torn',\n];",
    /log\.torn is passed nowhere/,
  ],
  ['a missing header', 'packages/streams/src/headers.ts', '', /Stream-TTL belongs in one/],
  ['a second spelling', 'packages/node/src/index.ts', "'stream-ttl'", /Stream-TTL belongs in one/],
  ['a dead link', 'README.md', '[x](docs/three.md)', /leads nowhere/],
  ['a dead anchor', 'README.md', '[x](docs/two.md#part)', /no such heading/],
  ['an untagged block', 'docs/two.md', '## Its part\n```bash\nls\n```', /a shell block says/],
  ['a path of this machine', 'docs/two.md', `## Its part\n${ROOT}/x`, /names this machine/],
  [
    'a registry',
    'package-lock.json',
    '{ "packages": { "a": {\n"resolved": "https://x" } } }',
    /names a package registry/,
  ],
  [
    'a platform left out of the lockfile',
    'package-lock.json',
    '{ "packages": { "node_modules/a": { "optionalDependencies": { "a-win32": "1" } } } }',
    /a-win32 is not locked/,
  ],
];

test.each(PLANTED)('%s is found', (_rule, file, text, message) => {
  const repository = cleanRepository().set(file, text);
  expect(tidy(repository).map(describeFinding)).toContainEqual(expect.stringMatching(message));
});

const CONTENT: [what: string, file: string, text: string][] = [
  ['a date from a number', 'packages/core/src/index.ts', 'const a = new Date(0);'],
  ['a comment about the clock', 'packages/core/src/index.ts', '// never new Date()'],
  ['the clock in its seam', 'packages/core/src/node-clock.ts', 'const a = new Date();'],
  ['a skip with a reason', 'packages/core/src/a.test.ts', '// needs IPv6\nit.skip();'],
  ['a block with a reason', 'docs/two.md', '## Its part\n```sh not-run: needs S3\nls\n```'],
  ['a link within code', 'docs/two.md', '## Its part\n`[x](nowhere.md)`'],
];

test.each(CONTENT)('%s is fine', (_what, file, text) => {
  const repository = cleanRepository();
  const index = 'packages/core/src/index.ts';
  repository.set(file, file === index ? `${repository.get(index)}\n${text}` : text);
  if (file.includes('node-clock')) {
    repository.set(index, `${repository.get(index)}\nexport * from './node-clock.ts';`);
  }
  expect(tidy(repository)).toEqual([]);
});
