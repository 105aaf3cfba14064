import { conformance } from './conformance.ts';

conformance('protocol suite, on disk', {});
