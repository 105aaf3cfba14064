export * from './kv-store-conformance.ts';
