export { openRecordStore } from './open-record-store.ts';
