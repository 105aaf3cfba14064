import { conformance } from './conformance.ts';

conformance('in memory', { memory: true });
