export * from './open-sqlite-kv-store.ts';
