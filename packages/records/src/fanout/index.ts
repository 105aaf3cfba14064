export * from './fanout-rules.ts';
export * from './fanout-state.ts';
export * from './run-fanout.ts';
