export * from './open-postgres-kv-store.ts';
