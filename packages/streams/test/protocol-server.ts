/** A protocol over a store on a free loopback port, for tests. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { NodeClock, NodeRandom, SILENT } from '@holdfast/core';
import type { StreamProtocolSettings } from '../src/protocol/protocol-settings.ts';
import type { SubscriptionAccess } from '../src/protocol/subscriptions/control-protocol.ts';
import type { ReaderAdmission } from '../src/http/live-readers.ts';
import { createStreamProtocol, type StreamProtocol } from '../src/protocol/stream-protocol.ts';
import type { StreamStore } from '../src/stream-store.ts';

export interface ProtocolServer {
  readonly protocol: StreamProtocol;
  readonly server: Server;
  readonly port: number;
  readonly baseUrl: string;
  close(): Promise<void>;
}

export async function serveProtocol(
  store: StreamStore,
  settings: Partial<StreamProtocolSettings> = {},
  subscriptions?: SubscriptionAccess,
  readerAdmission?: ReaderAdmission,
): Promise<ProtocolServer> {
  const clock = new NodeClock();
  const random = new NodeRandom();
  const protocol = createStreamProtocol(
    {
      store,
      clock,
      random,
      logger: SILENT,
      ...(subscriptions && { subscriptions }),
      ...(readerAdmission && { readerAdmission }),
    },
    settings,
  );
  const server = createServer((request, response) => protocol.handle(request, response));
  // A client may meet the end of an idle connection with its next request: not here.
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    protocol,
    server,
    port,
    baseUrl: `http://127.0.0.1:${port}`,
    async close() {
      protocol.drain();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
