/** A real NATS server with JetStream for tests; see `RealServer`. Debian: `nats-server`. */
import { findProgram, freeLoopbackPort, RealServer } from './node-real-server.ts';

/** `undefined` when there is none. */
export function findRealNats(): string | undefined {
  return findProgram('nats-server');
}

export class RealNats extends RealServer {
  readonly url: string;

  private constructor(port: number, monitorPort: number, program: string, directory: string) {
    const listen = ['-a', '127.0.0.1', '-p', String(port), '-m', String(monitorPort)];
    super(port, {
      process: () => ({ program, args: [...listen, '-js', '-sd', directory] }),
      answers: () => isHealthy(monitorPort),
      stopSignal: 'SIGTERM',
    });
    this.url = `nats://127.0.0.1:${port}`;
  }

  /** @param directory an existing folder of this server alone. */
  static async start(program: string, directory: string): Promise<RealNats> {
    const ports = [await freeLoopbackPort(), await freeLoopbackPort()] as const;
    const server = new RealNats(...ports, program, directory);
    await server.restart();
    return server;
  }
}

async function isHealthy(monitorPort: number): Promise<boolean> {
  try {
    const place = `http://127.0.0.1:${monitorPort}/healthz?js-enabled-only=true`;
    return (await fetch(place)).ok;
  } catch {
    return false;
  }
}
