import { conformance } from './conformance.ts';

conformance('on disk', {});
