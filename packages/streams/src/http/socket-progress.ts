/** How far the answers on a socket have got: what tells a slow reader from one that does not read. */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** What a socket stands on. Node.js does not document it, so it is looked at before it is used. */
interface SocketHandle {
  readonly bytesWritten?: unknown;
  readonly writeQueueSize?: unknown;
}

/**
 * Bytes of answers that the system took from this socket so far. The documented counters move only
 * when a whole write is done, and one write may be megabytes: a reader of a slow line would look
 * like one that stands still.
 */
export function bytesTaken(socket: Socket): number {
  const handle = (socket as { _handle?: SocketHandle | null })._handle;
  const given = handle?.bytesWritten;
  const queued = handle?.writeQueueSize;
  if (typeof given === 'number' && typeof queued === 'number') return given - queued;
  return socket.bytesWritten - socket.writableLength;
}

/** The same of what a response stands on; one without a socket may count by itself. */
export function bytesTakenOf(response: ServerResponse): number {
  const { socket } = response;
  if (socket !== null) return bytesTaken(socket);
  const { bytesTaken: counted } = response as { bytesTaken?: unknown };
  return typeof counted === 'number' ? counted : 0;
}
