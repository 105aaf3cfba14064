/** The parsers of this package, for its test and for `npm run fuzz`. */
import type { FuzzTarget } from '@holdfast/testkit';
import { PROTOCOL_TARGETS } from './fuzz-protocol-targets.ts';
import { STORAGE_TARGETS } from './fuzz-storage-targets.ts';
import { SUBSCRIPTION_TARGETS } from './fuzz-subscription-targets.ts';

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  ...STORAGE_TARGETS,
  ...PROTOCOL_TARGETS,
  ...SUBSCRIPTION_TARGETS,
];
