/** What is used of the packages `ioredis` and `iovalkey`, which are the same in it. */
import { loadDriver } from '../load-driver.ts';

export type RedisValue = string | number | Buffer;

export interface RedisClient {
  connect(): Promise<void>;
  disconnect(): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
  call(command: string, ...values: RedisValue[]): Promise<unknown>;
  callBuffer(command: string, ...values: RedisValue[]): Promise<unknown>;
}

interface RedisModule {
  readonly default: new (url: string, settings: object) => RedisClient;
}

export async function createRedisClient(url: string, settings: object): Promise<RedisClient> {
  const module = await loadDriver<RedisModule>('Redis', ['ioredis', 'iovalkey']);
  const Client = module.default;
  const client = new Client(url, settings);
  // It connects again by itself; calls tell that they failed.
  client.on('error', () => undefined);
  return client;
}
