export * from './asked-peers.ts';
export * from './peer-table.ts';
export * from './peer-upkeep.ts';
