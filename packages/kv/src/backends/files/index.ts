export * from './open-files-kv-store.ts';
