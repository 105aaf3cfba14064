/** A real Redis for tests; see `RealServer`. Debian: `redis-server`. */
import { connect } from 'node:net';
import { findProgram, freeLoopbackPort, RealServer } from './node-real-server.ts';

const ANSWER_MS = 1_000;

/** `undefined` when there is none. */
export function findRealRedis(): string | undefined {
  return findProgram('redis-server') ?? findProgram('valkey-server');
}

export interface RealRedisOptions {
  readonly program: string;
  /** An existing folder of this server alone. */
  readonly directory: string;
  /** More arguments; default: a file that is synced with every write. */
  readonly args?: readonly string[];
}

export class RealRedis extends RealServer {
  readonly url: string;

  private constructor(port: number, { program, directory, args }: RealRedisOptions) {
    const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory];
    const kept = args ?? ['--appendonly', 'yes', '--appendfsync', 'always'];
    super(port, {
      process: () => ({ program, args: [...place, '--save', '', ...kept] }),
      answers: () => answersPing(port),
      stopSignal: 'SIGTERM',
    });
    this.url = `redis://127.0.0.1:${port}`;
  }

  static async start(options: RealRedisOptions): Promise<RealRedis> {
    const server = new RealRedis(await freeLoopbackPort(), options);
    await server.restart();
    return server;
  }
}

/** While it reads its file it says so instead. */
function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const end = (answers: boolean): void => {
      socket.destroy();
      resolve(answers);
    };
    socket.setTimeout(ANSWER_MS, () => end(false));
    socket.once('error', () => end(false));
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (data) => end(data.toString().startsWith('+PONG')));
  });
}
