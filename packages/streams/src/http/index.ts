/** What every HTTP face of a node shares: bodies, bounds, answers, and which pages may ask. */
export { BodyBudget } from './body-budget.ts';
export { collectBody, type BodyRequest } from './body.ts';
export { refuseCodings } from './codings.ts';
export * from './cross-origin-policy.ts';
export { matchesAny, parseStrongTags } from './entity-tags.ts';
export { statusOf } from './error-status.ts';
export { fieldReader } from './field-reader.ts';
export { createHttpBounds, type HttpBounds, type HttpBoundsSettings } from './http-bounds.ts';
export type { LiveReaders, ReaderAdmission } from './live-readers.ts';
export { answerProblem, asHoldfastError, describeProblem, type Problem } from './problem-answer.ts';
export type { HeldResponse, ResponseMemory } from './response-memory.ts';
export { NO_STORE, SANDBOX, SECURITY_HEADERS } from './security-headers.ts';
export { joinLatin1, sendBody } from './send-body.ts';
export { bytesTaken } from './socket-progress.ts';
export { untilDrained, writeAll, type ReadPace } from './write-gate.ts';
