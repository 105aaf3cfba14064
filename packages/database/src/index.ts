export { Database, type DatabaseState, type DatabaseStats } from './database.ts';
export * from './engine.ts';
export { type DatabaseComponents, type DatabaseSettings, openDatabase } from './open-database.ts';
export { rebalanceDatabase, type RebalanceReport } from './rebalance-database.ts';
export type { StateProblem } from './state-verify.ts';
export { type DatabaseVerifyReport, verifyDatabase } from './verify-database.ts';
