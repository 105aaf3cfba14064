export * from './fs-object-store.ts';
export * from './memory-object-store.ts';
export * from './object-body.ts';
export * from './object-key.ts';
export * from './object-store.ts';
