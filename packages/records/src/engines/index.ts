export * from './descriptors-known.ts';
export * from './fetch-value.ts';
export * from './pending-writes.ts';
export * from './push-value.ts';
export * from './read-repair.ts';
export * from './record-engine.ts';
export * from './record-network.ts';
export * from './survey-record.ts';
