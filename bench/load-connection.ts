/**
 * The load generator's client: one raw-socket HTTP/1.1 keep-alive connection with one request
 * outstanding. It parses no more of an answer than status, length and the headers asked for, so
 * that the client costs a fraction of the server it shares the machine with.
 */
import net from 'node:net';

export interface Answer {
  readonly status: number;
  /** Head of the response, with its status line. */
  readonly head: string;
  /** Bytes of the body; the body itself is dropped. */
  readonly bodyBytes: number;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const LINE_END = Buffer.from('\r\n');

export class LoadConnection {
  readonly #socket: net.Socket;
  #resolve: ((answer: Answer) => void) | undefined;
  #onAnswer: ((answer: Answer) => void) | undefined;
  #reject: ((error: Error) => void) | undefined;
  #noBody = false;
  #rest: Buffer | undefined;
  #head: string | undefined;
  #status = 0;
  #chunked = false;
  /** Body or chunk bytes still to come; in chunked coding -1 asks for a size line. */
  #left = 0;
  #bodyBytes = 0;
  #onBytes: ((bytes: Buffer) => void) | undefined;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('connection closed')));
  }

  static open(port: number): Promise<LoadConnection> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new LoadConnection(socket));
      });
    });
  }

  static openMany(port: number, count: number): Promise<LoadConnection[]> {
    return Promise.all(Array.from({ length: count }, () => LoadConnection.open(port)));
  }

  send(request: Buffer, isHead = false): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#noBody = isHead;
      this.#socket.write(request);
    });
  }

  /** `send` without a promise, for the closed loop. */
  sendThen(request: Buffer, onAnswer: (answer: Answer) => void, isHead = false): void {
    this.#onAnswer = onAnswer;
    this.#noBody = isHead;
    this.#socket.write(request);
  }

  /** After the head everything that comes goes to `onBytes`: for live events. */
  listen(request: Buffer, onBytes: (bytes: Buffer) => void): Promise<Answer> {
    this.#onBytes = onBytes;
    return this.send(request);
  }

  pause(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#reject = undefined;
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    const reject = this.#reject;
    const onAnswer = this.#onAnswer;
    this.#reject = this.#resolve = this.#onAnswer = undefined;
    reject?.(error);
    onAnswer?.({ status: 0, head: error.message, bodyBytes: 0 });
  }

  #take(arrived: Buffer): void {
    let bytes = this.#rest === undefined ? arrived : Buffer.concat([this.#rest, arrived]);
    this.#rest = undefined;
    if (this.#head === undefined) {
      const end = bytes.indexOf(HEAD_END);
      if (end < 0) {
        this.#rest = bytes;
        return;
      }
      this.#begin(bytes.toString('latin1', 0, end + 2));
      bytes = bytes.subarray(end + HEAD_END.length);
      if (this.#onBytes !== undefined) this.#finish();
    } else if (this.#onBytes !== undefined) {
      this.#onBytes(bytes);
      return;
    }
    if (this.#onBytes !== undefined) {
      if (bytes.length > 0) this.#onBytes(bytes);
      return;
    }
    if (this.#chunked) this.#takeChunks(bytes);
    else this.#takeBody(bytes);
  }

  #begin(head: string): void {
    this.#head = head;
    this.#status = Number(head.slice(9, 12));
    this.#bodyBytes = 0;
    this.#chunked = false;
    this.#left = 0;
    if (this.#noBody || this.#status === 204 || this.#status === 304) return;
    const length = headerOf(head, 'content-length');
    if (length === undefined) {
      this.#chunked = true;
      this.#left = -1;
    } else this.#left = Number(length);
  }

  #takeBody(bytes: Buffer): void {
    this.#bodyBytes += bytes.length;
    this.#left -= bytes.length;
    if (this.#left <= 0) this.#finish();
  }

  #takeChunks(arrived: Buffer): void {
    let bytes = arrived;
    for (;;) {
      if (this.#left > 0) {
        const count = Math.min(this.#left, bytes.length);
        this.#left -= count;
        bytes = bytes.subarray(count);
        if (this.#left > 0) return;
        this.#left = -1;
        continue;
      }
      const end = bytes.indexOf(LINE_END);
      if (end < 0) break;
      // The line end behind a chunk's bytes reads as an empty line.
      if (end > 0) {
        const size = Number.parseInt(bytes.toString('latin1', 0, end), 16);
        if (size === 0) {
          if (bytes.length < end + 4) break;
          this.#finish();
          return;
        }
        this.#bodyBytes += size;
        this.#left = size;
      }
      bytes = bytes.subarray(end + 2);
    }
    this.#rest = bytes;
  }

  #finish(): void {
    const answer = { status: this.#status, head: this.#head ?? '', bodyBytes: this.#bodyBytes };
    const { listening, resolve, onAnswer } = {
      listening: this.#onBytes !== undefined,
      resolve: this.#resolve,
      onAnswer: this.#onAnswer,
    };
    if (!listening) this.#head = undefined;
    this.#rest = this.#resolve = this.#reject = this.#onAnswer = undefined;
    resolve?.(answer);
    onAnswer?.(answer);
  }
}

export function headerOf(head: string, name: string): string | undefined {
  return new RegExp(`\\r\\n${name}: *([^\\r]*)`, 'i').exec(head)?.[1];
}

/** The bytes of a request; built once where a scenario can. */
export function requestBytes(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body?: Uint8Array | string,
): Buffer {
  let head = `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n`;
  for (const [name, value] of Object.entries(headers)) head += `${name}: ${value}\r\n`;
  const bytes = body === undefined ? undefined : Buffer.from(body);
  if (bytes !== undefined || method !== 'GET') head += `Content-Length: ${bytes?.length ?? 0}\r\n`;
  return Buffer.concat([Buffer.from(`${head}\r\n`, 'latin1'), ...(bytes ? [bytes] : [])]);
}
