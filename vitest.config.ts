import { defineConfig } from 'vitest/config';

// Packages import each other by name. The `x-source` export condition answers with `src/index.ts`,
// so tests run from source and never against a stale build. They are Node's own conditions too:
// `import` must not be among them, or a `require` of a dependency would be given its modules.
const conditions = ['x-source', 'node', 'module', 'default'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: [
      'packages/*/src/**/*.test.ts',
      'packages/*/test/**/*.test.ts',
      'scripts/**/*.test.ts',
    ],
    setupFiles: ['scripts/record-errors.ts'],
    // Forks, because crash and server tests hold sockets and children of their own.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    teardownTimeout: 10_000,
  },
});
