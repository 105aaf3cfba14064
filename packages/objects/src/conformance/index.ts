export * from './object-store-conformance.ts';
