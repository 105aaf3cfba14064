/** Problems told on a socket that has no request: what the parser, a time-out or a cap refused. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { HoldfastError } from '@holdfast/core';
import { describeProblem } from '@holdfast/streams';

/**
 * Answers, if the connection still takes an answer, and ends it.
 * @param headOnly the request was a HEAD: its client takes no body.
 */
export function refuseConnection(socket: Socket, error: HoldfastError, headOnly = false): void {
  // Node.js gives a socket away without a listener when it was asked for a tunnel.
  socket.on('error', () => undefined);
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const problem = describeProblem(error);
  let head = `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n`;
  for (let i = 0; i + 1 < problem.headers.length; i += 2) {
    head += `${problem.headers[i]}: ${problem.headers[i + 1]}\r\n`;
  }
  const bytes = Buffer.from(`${head}Connection: close\r\n\r\n`);
  socket.end(headOnly ? bytes : Buffer.concat([bytes, problem.body]), () => socket.destroy());
}
