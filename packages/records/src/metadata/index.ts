export * from './record-metadata.ts';
export type { DurableItems } from './durable-items.ts';
export type { WantedWatch } from './metadata-rows.ts';
