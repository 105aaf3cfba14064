/** What is used of the packages `@nats-io/transport-node` and `@nats-io/kv`. */
import { loadDriver } from '../load-driver.ts';

export interface NatsConnection {
  readonly info?: { readonly max_payload: number };
  request(subject: string, payload: string, options: { timeout: number }): Promise<NatsMessage>;
  close(): Promise<void>;
}

interface NatsMessage {
  json<T>(): T;
}

export interface NatsEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
  readonly created: Date;
  readonly operation: 'PUT' | 'DEL' | 'PURGE';
}

export interface NatsWatch extends AsyncIterable<NatsEntry> {
  stop(): void;
}

export interface NatsBucket {
  get(key: string): Promise<NatsEntry | null>;
  /** `previousSeq` 0: there must be none. */
  put(key: string, value: Uint8Array, options: { previousSeq: number }): Promise<number>;
  delete(key: string, options: { previousSeq: number }): Promise<void>;
  watch(options: object): Promise<NatsWatch>;
  status(): Promise<{
    readonly streamInfo: {
      readonly state: { readonly last_seq: number };
      readonly config: {
        readonly name: string;
        readonly allow_direct?: boolean;
        readonly num_replicas: number;
        readonly max_msg_size?: number;
        readonly max_age?: number;
        readonly max_bytes?: number;
        readonly discard?: string;
        readonly storage?: string;
      };
    };
  }>;
}

interface TransportModule {
  connect(options: object): Promise<NatsConnection>;
}

interface KvModule {
  readonly Kvm: new (connection: NatsConnection) => {
    create(bucket: string, options: object): Promise<NatsBucket>;
  };
}

export interface NatsParts {
  connect(options: object): Promise<NatsConnection>;
  bucket(connection: NatsConnection, name: string, options: object): Promise<NatsBucket>;
}

export async function loadNats(): Promise<NatsParts> {
  const kv = '@nats-io/kv';
  const transport = await loadDriver<TransportModule>('NATS', ['@nats-io/transport-node'], kv);
  const { Kvm } = await loadDriver<KvModule>('NATS', [kv]);
  return {
    connect: (options) => transport.connect(options),
    bucket: (connection, name, options) => new Kvm(connection).create(name, options),
  };
}
