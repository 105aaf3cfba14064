/** Bytes to the server and bytes back, for requests that no client library would send. */
import net from 'node:net';

export interface RawExchange {
  /** Status of every response that came, in order. */
  readonly statuses: number[];
  readonly text: string;
  /** The server ended the connection by itself. */
  readonly closed: boolean;
}

const IDLE_MS = 400;

/** Sends the pieces; ends when the server closes or has nothing more to say. */
export function exchange(port: number, ...pieces: (string | Uint8Array)[]): Promise<RawExchange> {
  return patientExchange(IDLE_MS, port, ...pieces);
}

/** @param idleMs silence after which the server is taken to have nothing more to say. */
export function patientExchange(
  idleMs: number,
  port: number,
  ...pieces: (string | Uint8Array)[]
): Promise<RawExchange> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    const parts: Buffer[] = [];
    let closed = false;
    const finish = (): void => {
      clearTimeout(timer);
      socket.destroy();
      const text = Buffer.concat(parts).toString('latin1');
      const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
      resolve({ statuses, text, closed });
    };
    let timer = setTimeout(finish, idleMs);
    socket.on('data', (part: Buffer) => {
      parts.push(part);
      clearTimeout(timer);
      timer = setTimeout(finish, idleMs);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      closed = true;
      finish();
    });
    for (const piece of pieces) {
      socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece);
    }
  });
}
