export * from './open-redis-kv-store.ts';
