export * from './network-transaction.ts';
export * from './transaction-host.ts';
