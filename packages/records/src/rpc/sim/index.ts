export * from './sim-rpc.ts';
export * from './sim-rpc-network.ts';
