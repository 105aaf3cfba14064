export * from './cross-origin-policy.ts';
export * from './protocol-settings.ts';
export * from './stream-protocol.ts';
