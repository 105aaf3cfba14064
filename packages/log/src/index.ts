export { LOG_CUT_POINTS, type LogCutPoint } from './cut-points.ts';
export type { LogSettings } from './log-settings.ts';
export * from './log.ts';
export { type LogComponents, openLog } from './open-log.ts';
export * from './record-types.ts';
export { type LogVerifyReport, verifyLog } from './verify-log.ts';
export { type NewLog, writeLog, type WriteLogComponents, type WrittenLog } from './write-log.ts';
