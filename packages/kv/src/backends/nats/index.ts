export * from './open-nats-kv-store.ts';
