export * from './backed-kv-store.ts';
export * from './decide-write.ts';
export {
  encryptedKvStore,
  type EncryptedKvComponents,
  type EncryptedKvSettings,
  type EncryptedKvStore,
} from './encrypted/encrypted-kv-store.ts';
export type { RewrapOptions, RewrapReport } from './encrypted/rewrap-values.ts';
export * from './envelope.ts';
export * from './fencing.ts';
export * from './kv-backend.ts';
export * from './kv-store.ts';
export * from './memory-kv-store.ts';
export * from './kv-view.ts';
export * from './namespaced.ts';
export * from './tiers/index.ts';
export { KV_CUT_POINTS, type KvCutPoint } from './engine/cut-points.ts';
export * from './engine/kv-engine.ts';
