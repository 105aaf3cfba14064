export * from './record-server.ts';
