/**
 * Live readers over a raw socket, which a test can pause as a stalled client does, and a reader
 * of the events that came.
 */
import net from 'node:net';

export interface ServerSentEvent {
  readonly event: string;
  readonly data: string;
  /** Where it has one. */
  readonly id?: string;
}

export interface ControlEvent {
  readonly streamNextOffset: string;
  readonly streamCursor?: string;
  readonly upToDate?: boolean;
  readonly streamClosed?: boolean;
}

export class LiveReader {
  readonly #socket: net.Socket;
  readonly #closed: Promise<void>;
  #received: Buffer[] = [];

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => undefined);
    socket.on('data', (part: Buffer) => this.#received.push(part));
  }

  /** Connects and sends a GET; resolves once the head of the response is there. */
  static async open(url: string, headers: readonly string[] = []): Promise<LiveReader> {
    const { hostname, port, pathname, search, host } = new URL(url);
    const socket = net.connect(Number(port), hostname);
    const reader = new LiveReader(socket);
    const lines = [
      `GET ${pathname}${search} HTTP/1.1`,
      `Host: ${host}`,
      'Connection: close',
      ...headers,
    ];
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    await reader.#until((text) => text.includes('\r\n\r\n'));
    return reader;
  }

  get head(): string {
    return this.#text().split('\r\n\r\n', 1)[0] as string;
  }

  get closed(): Promise<void> {
    return this.#closed;
  }

  /** Stops taking bytes from the kernel: buffers fill up to the server. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  async untilEvents(done: (events: readonly ServerSentEvent[]) => boolean): Promise<void> {
    await this.#until(() => done(this.events()));
  }

  async untilText(done: (text: string) => boolean): Promise<void> {
    await this.#until(() => done(dechunk(Buffer.concat(this.#received)).toString('utf8')));
  }

  /** Whole events so far. */
  events(): ServerSentEvent[] {
    const body = dechunk(Buffer.concat(this.#received)).toString('utf8');
    return body
      .split('\n\n')
      .slice(0, -1)
      .map(parseEvent)
      .filter((event) => event !== undefined);
  }

  controls(): ControlEvent[] {
    return this.events()
      .filter((event) => event.event === 'control')
      .map((event) => JSON.parse(event.data) as ControlEvent);
  }

  #text(): string {
    return Buffer.concat(this.#received).toString('utf8');
  }

  #until(done: (text: string) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!done(this.#text())) return;
        finish();
        resolve();
      };
      const ended = (): void => {
        finish();
        if (done(this.#text())) resolve();
        else reject(new Error(`the connection ended early: ${this.#text().slice(0, 300)}`));
      };
      const finish = (): void => {
        this.#socket.off('data', look).off('close', ended);
      };
      this.#socket.on('data', look).once('close', ended);
      look();
    });
  }
}

/** Undoes chunked transfer coding, as far as whole chunks are there. */
function dechunk(response: Buffer): Buffer {
  let at = response.indexOf('\r\n\r\n') + 4;
  if (at < 4) return Buffer.alloc(0);
  if (!/transfer-encoding: *chunked/i.test(response.toString('latin1', 0, at))) {
    return response.subarray(at);
  }
  const parts: Buffer[] = [];
  for (;;) {
    const end = response.indexOf('\r\n', at);
    if (end < 0) break;
    const size = Number.parseInt(response.toString('latin1', at, end), 16);
    if (!(size > 0) || end + 2 + size > response.length) break;
    parts.push(response.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
  return Buffer.concat(parts);
}

function parseEvent(block: string): ServerSentEvent | undefined {
  let event = '';
  let id: string | undefined;
  const data: string[] = [];
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) event = line.slice('event:'.length).trim();
    if (line.startsWith('id:')) id = line.slice('id:'.length).trim();
    if (line.startsWith('data:')) data.push(line.slice('data:'.length).replace(/^ /, ''));
  }
  if (event === '') return undefined;
  return { event, data: data.join('\n'), ...(id === undefined ? {} : { id }) };
}
