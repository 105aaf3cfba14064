/** A listener in this process, in front of a handler of the test's own and a store of three streams. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { NodeClock, SILENT } from '@holdfast/core';
import { CrossOriginPolicy, type StreamInfo, type StreamStore } from '@holdfast/streams';
import { afterEach } from 'vitest';
import { ClientTable, type ClientLimits } from '../src/client-table.ts';
import { Health } from '../src/health.ts';
import { HttpListener, type ListenerSettings } from '../src/http-listener.ts';
import { RequestRouter } from '../src/request-router.ts';

const opened: HttpListener[] = [];
afterEach(async () => {
  for (const listener of opened.splice(0)) await listener.close();
});

export type Handle = (request: IncomingMessage, response: ServerResponse) => void;

export interface Served {
  readonly port: number;
  readonly health: Health;
  readonly router: RequestRouter;
  readonly clients: ClientTable;
}

const GENEROUS: ClientLimits = {
  maxConnectionsPerClient: 1_000,
  maxRequestsPerClient: 1_000,
  maxLiveReadersPerClient: 1_000,
  requestsPerSecondPerClient: 0,
  receivedBytesPerSecondPerClient: 0,
};

/** @param limits given: everybody who connects is one client. */
export async function serve(
  handle: Handle = (_, response) => void response.end('ok'),
  settings: Partial<ListenerSettings> = {},
  limits?: Partial<ClientLimits>,
): Promise<Served> {
  const health = new Health();
  const paths = ['a', 'b', 'c'];
  const store = {
    list: ({
      after = '',
      limit,
      prefix = '',
    }: {
      after?: string;
      limit: number;
      prefix?: string;
    }) =>
      paths
        .filter((path) => path > after && path.startsWith(prefix))
        .slice(0, limit)
        .map(infoOf),
  } as unknown as StreamStore;
  const clock = new NodeClock();
  const crossOrigin = new CrossOriginPolicy({ allowOrigin: [] });
  const router = new RequestRouter(
    { protocol: { handle }, store, health, crossOrigin, clock, logger: SILENT },
    { basePath: '/v1/stream/' },
  );
  // Everybody here comes from loopback, which nobody counts.
  const clients = new ClientTable(
    clock,
    { ...GENEROUS, ...limits },
    limits === undefined ? undefined : () => 'one',
  );
  const listener = await HttpListener.open(
    { router, clients, clock },
    {
      host: '127.0.0.1',
      port: 0,
      insecure: false,
      allowedHosts: [],
      minBodyBytesPerSecond: 1_000,
      minReadBytesPerSecond: 1_000,
      ...settings,
    },
  );
  opened.push(listener);
  return { port: listener.address.port, health, router, clients };
}

function infoOf(path: string): StreamInfo {
  return {
    path,
    id: 1,
    json: true,
    contentType: 'application/json',
    tail: { messages: 1, bytes: 9 },
    closed: false,
    createdAtMs: 0,
    updatedAtMs: 0,
    ownBytes: 9,
    forks: 0,
  };
}
