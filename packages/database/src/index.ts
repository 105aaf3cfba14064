export * from './database.ts';
export * from './engine.ts';
export { HASH_POLICY, placeInShard } from './shard-placement.ts';
export * from './open-database.ts';
export type { StateProblem } from './state-verify.ts';
