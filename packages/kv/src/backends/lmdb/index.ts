export * from './open-lmdb-kv-store.ts';
