import { conformance } from './conformance.ts';

conformance('protocol suite, in memory', { memory: true });
