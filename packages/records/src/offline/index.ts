export * from './offline-writes.ts';
