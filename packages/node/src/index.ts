export * from './embedded-streams.ts';
export type { HealthState } from './health.ts';
export { HoldfastNode, type NodeStats } from './holdfast-node.ts';
export type { ListenAddress } from './http-listener.ts';
export * from './node-components.ts';
export * from './node-pino-logger.ts';
export * from './offline.ts';
export * from './open-node.ts';
export {
  parseNodeSettings,
  SETTING_KINDS,
  type NodeSettings,
  type NodeSettingsInput,
  type SettingKind,
} from './settings.ts';
export type { ListedStream, StreamPage } from './stream-list-route.ts';
export type { StreamBatch } from './stream-reader.ts';
