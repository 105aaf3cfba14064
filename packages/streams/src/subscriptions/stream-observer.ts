/**
 * What subscriptions hear of streams. Called within the turn a batch is settled, after all of it
 * is applied, each stream once: methods must be quick and must not throw.
 */
import type { StreamInfo } from '../stream-store.ts';

export interface StreamObserver {
  /** Created, appended to, or closed. */
  changed(info: StreamInfo): void;
  /** Deleted or expired; soft deletion too. */
  removed(info: StreamInfo): void;
}
