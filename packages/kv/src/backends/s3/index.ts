export * from './open-s3-kv-store.ts';
