export * from './peer-records.ts';
