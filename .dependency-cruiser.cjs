/**
 * The layers of ARCHITECTURE.md: each package may import the ones below it, nothing points up.
 * A package that is not named here may import nothing, so a new one has to be placed first.
 */
const MAY_IMPORT = {
  core: [],
  log: ['core'],
  tables: ['core'],
  objects: ['core'],
  database: ['core', 'log', 'tables', 'objects'],
  streams: ['core', 'database'],
  kv: ['core', 'objects', 'database'],
  records: ['core', 'kv'],
  node: ['core', 'log', 'tables', 'objects', 'database', 'streams', 'kv', 'records'],
  cli: ['core', 'node'],
  console: [],
  testkit: ['core', 'log', 'tables', 'objects', 'database', 'streams', 'kv', 'records', 'node'],
};

const PACKAGES = Object.keys(MAY_IMPORT).join('|');
const TESTS = String.raw`\.test\.ts$|^packages/[^/]+/test/`;

const layers = Object.entries(MAY_IMPORT).map(([name, below]) => ({
  name: `layer-${name}`,
  comment: `${name} may import ${below.join(', ') || 'no other package'}`,
  severity: 'error',
  from: { path: `^packages/${name}/src/`, pathNot: TESTS },
  to: { path: '^packages/', pathNot: `^packages/(${[name, ...below].join('|')})/` },
}));

module.exports = {
  forbidden: [
    ...layers,
    {
      name: 'placed-package',
      comment: 'a package that MAY_IMPORT does not name has no layer yet',
      severity: 'error',
      from: { path: '^packages/', pathNot: `^packages/(${PACKAGES})/` },
      to: {},
    },
    {
      name: 'no-cycles',
      comment: 'two files may name the types of each other: nothing of that is left at run time',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'by-package-name',
      comment: "another package's files are reached through its exports, never by a relative path",
      severity: 'error',
      from: { path: '^packages/([^/]+)/' },
      to: { path: '^packages/', pathNot: '^packages/$1/', dependencyTypesNot: ['npm', 'aliased'] },
    },
    {
      name: 'no-test-code-in-src',
      severity: 'error',
      from: { path: '^packages/[^/]+/src/', pathNot: TESTS },
      to: { path: `${TESTS}|^(scripts|bench|examples)/` },
    },
    {
      name: 'drivers-when-opened',
      comment: 'drivers are optional: they are loaded when a store of theirs is opened',
      severity: 'error',
      from: { path: '^packages/kv/src/', pathNot: `${TESTS}|^packages/kv/src/adapters/` },
      to: {
        path: 'node_modules/(pg|lmdb|ioredis|iovalkey|better-sqlite3|@nats-io)/',
        dependencyTypesNot: ['type-only'],
        dynamic: false,
      },
    },
    {
      name: 'libp2p-only-in-records',
      severity: 'error',
      from: { path: '^packages/', pathNot: '^packages/records/' },
      to: { path: 'node_modules/(@libp2p/|libp2p/)' },
    },
    {
      name: 'resolvable',
      severity: 'error',
      from: { path: '^packages/' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '/dist/' },
    tsPreCompilationDeps: true,
    combinedDependencies: true,
    tsConfig: { fileName: 'tsconfig.tests.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['x-source', 'import', 'types', 'node', 'default'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'],
    },
  },
};
