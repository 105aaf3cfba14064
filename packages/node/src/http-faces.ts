/** What a node serves over HTTP beside administration: streams and stores, within one set of bounds. */
import type { Clock, Logger, Random } from '@holdfast/core';
import {
  CrossOriginPolicy,
  createHttpBounds,
  createStreamProtocol,
  DEFAULT_PROTOCOL_SETTINGS,
  type ReaderAdmission,
  type StreamProtocol,
  type StreamProtocolSettings,
  type StreamStore,
  type SubscriptionAccess,
} from '@holdfast/streams';
import type { ServedStores } from './kv/http/kv-exchange.ts';
import { KV_EXPOSED_HEADERS } from './kv/http/kv-headers.ts';
import { KvProtocol } from './kv/http/kv-protocol.ts';

export interface FaceComponents {
  readonly store: StreamStore;
  readonly subscriptions: SubscriptionAccess;
  readonly kv: ServedStores;
  readonly readerAdmission: ReaderAdmission;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export class HttpFaces {
  readonly streams: StreamProtocol;
  readonly kv: KvProtocol;

  constructor(components: FaceComponents, given: Partial<StreamProtocolSettings>) {
    const { kv, clock, logger } = components;
    const settings = { ...DEFAULT_PROTOCOL_SETTINGS, ...given };
    const bounds = createHttpBounds(components, settings);
    this.streams = createStreamProtocol({ ...components, bounds }, settings);
    const crossOrigin = new CrossOriginPolicy(settings.cors, KV_EXPOSED_HEADERS);
    this.kv = new KvProtocol({ ...bounds, stores: kv, clock, logger, crossOrigin, settings });
  }

  get liveReaders(): number {
    return this.streams.liveReaders;
  }

  /** Whoever waits for something new is told to come back. */
  drain(): void {
    this.streams.drain();
    this.kv.drain();
  }
}
