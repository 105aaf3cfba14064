export * from './cross-origin-policy.ts';
export * from './protocol-settings.ts';
export * from './stream-protocol.ts';
export { parseContentType } from './media-type.ts';
export { statusOf } from './error-status.ts';
export { parseStreamPath } from './stream-path.ts';
