/** A real NATS server with JetStream for tests; see `RealServer`. Debian: `nats-server`. */
import {
  findProgram,
  freeLoopbackPort,
  RealServer,
  type ServerProcess,
} from './node-real-server.ts';

/** `undefined` when there is none. */
export function findRealNats(): string | undefined {
  return findProgram('nats-server');
}

export class RealNats extends RealServer {
  readonly url: string;
  readonly #program: string;
  readonly #directory: string;
  readonly #monitorPort: number;

  private constructor(port: number, monitorPort: number, program: string, directory: string) {
    super(port);
    this.#monitorPort = monitorPort;
    this.#program = program;
    this.#directory = directory;
    this.url = `nats://127.0.0.1:${port}`;
  }

  /** @param directory an existing folder of this server alone. */
  static async start(program: string, directory: string): Promise<RealNats> {
    const ports = [await freeLoopbackPort(), await freeLoopbackPort()] as const;
    const server = new RealNats(...ports, program, directory);
    await server.restart();
    return server;
  }

  protected override process(): ServerProcess {
    const listen = ['-a', '127.0.0.1', '-p', String(this.port), '-m', String(this.#monitorPort)];
    return { program: this.#program, args: [...listen, '-js', '-sd', this.#directory] };
  }

  protected override async answers(): Promise<boolean> {
    try {
      const place = `http://127.0.0.1:${this.#monitorPort}/healthz?js-enabled-only=true`;
      return (await fetch(place)).ok;
    } catch {
      return false;
    }
  }
}
