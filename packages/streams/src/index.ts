export * from './content-type.ts';
export * from './messages.ts';
export * from './position.ts';
export * from './protocol/index.ts';
export * from './stream-engine.ts';
export * from './stream-operations.ts';
export * from './stream-settings.ts';
export * from './stream-store.ts';
