export * from './backed-kv-store.ts';
export * from './decide-write.ts';
export * from './envelope.ts';
export * from './kv-backend.ts';
export * from './kv-store.ts';
export * from './memory-kv-store.ts';
export * from './kv-view.ts';
export * from './namespaced.ts';
