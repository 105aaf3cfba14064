/** The tests of files and manifests once more, with everything encrypted. */
import { vi } from 'vitest';

vi.hoisted(() => {
  process.env['HOLDFAST_TEST_ENCRYPTED'] = '1';
});

import '../src/compaction.test.ts';
import '../src/extent-file-damage.test.ts';
import '../src/extent-file.test.ts';
import '../src/manifest-store.test.ts';
import '../src/manifest.test.ts';
import '../src/node-compactor.test.ts';
import '../src/table-damage.test.ts';
import '../src/table-mirror.test.ts';
import '../src/table.test.ts';
import '../src/write-table.test.ts';
