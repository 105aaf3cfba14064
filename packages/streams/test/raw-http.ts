/** HTTP by hand over a socket: what no client library would send, and what one would hide. */
import net from 'node:net';

export interface RawAnswer {
  readonly status: number;
  /** Lower-case names; repeated ones joined. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** The server closed the connection within the time to wait. */
  readonly closed: boolean;
}

/** Sends bytes on a connection of their own; resolves once one whole answer is here. */
export function sendRaw(
  port: number,
  request: string | Uint8Array,
  waitMs = 3000,
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1' });
    const received: Buffer[] = [];
    let settled = false;
    const settle = (closed: boolean): void => {
      if (settled) return;
      const answer = parseAnswer(Buffer.concat(received), closed);
      if (answer === undefined && !closed) return;
      settled = true;
      clearTimeout(timer);
      socket.destroy();
      if (answer === undefined) reject(new Error('the connection closed without an answer'));
      else resolve(answer);
    };
    const timer = setTimeout(() => settle(true), waitMs);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      received.push(chunk);
      const answer = parseAnswer(Buffer.concat(received), false);
      // An answer that says so is followed by the end: wait for it.
      if (answer !== undefined && answer.headers.get('connection') !== 'close') settle(false);
    });
    socket.on('close', () => settle(true));
    socket.write(request);
  });
}

function parseAnswer(bytes: Buffer, closed: boolean): RawAnswer | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  const status = Number(first.split(' ')[1]);
  const length = Number(headers.get('content-length') ?? 0);
  const body = bytes.subarray(end + 4);
  if (body.length < length && !closed) return undefined;
  return { status, headers, body: body.subarray(0, length), closed };
}

/** A connection that reads an answer only when told to. */
export class RawReader {
  readonly socket: net.Socket;
  text = '';
  closed = false;
  readonly #waiting = new Set<() => void>();

  constructor(port: number, request: string) {
    this.socket = net.connect({ port, host: '127.0.0.1' });
    this.socket.on('error', () => undefined);
    this.socket.on('data', (chunk) => {
      this.text += chunk.toString('latin1');
      this.#wake();
    });
    this.socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
    this.socket.write(request);
  }

  /** Resolves once it holds; the test's own timeout is the bound. */
  async until(holds: (self: this) => boolean): Promise<void> {
    while (!holds(this)) {
      if (this.closed) throw new Error(`closed after ${this.text.length} bytes`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  async untilClosed(): Promise<void> {
    while (!this.closed) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
