/** What Node's HTTP parser, or one of its time-outs, says about a request, in our words. */
import { HoldfastError, LIMITS, systemErrorCode } from '@holdfast/core';

export interface ParserError extends Error {
  readonly rawPacket?: Buffer;
}

export function badRequest(error: ParserError): HoldfastError {
  switch (systemErrorCode(error)) {
    case 'HPE_HEADER_OVERFLOW':
      return hasLongRequestLine(error.rawPacket)
        ? new HoldfastError('URL_TOO_LONG', `url is longer than ${LIMITS.maxUrlBytes} bytes`)
        : new HoldfastError(
            'HEADERS_TOO_LARGE',
            `headers are larger than ${LIMITS.maxHeaderBytes} bytes`,
          );
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new HoldfastError('BODY_TOO_LARGE', 'chunk extensions are too large');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new HoldfastError('REQUEST_TIMEOUT', 'the request did not arrive in time');
    default:
      return new HoldfastError('INVALID_HEADER', 'this is not a well-formed HTTP request');
  }
}

/** As far as the bytes at hand tell: what is refused may begin with another request. */
export function isHead(error: ParserError): boolean {
  return error.rawPacket?.toString('latin1', 0, 5) === 'HEAD ';
}

/** Node's one limit covers request line and headers; which of them it was shows in the bytes. */
function hasLongRequestLine(packet: Buffer | undefined): boolean {
  if (packet === undefined || !/^[A-Z]+ /.test(packet.toString('latin1', 0, 16))) return false;
  const end = packet.indexOf('\r\n');
  return end < 0 || end > LIMITS.maxUrlBytes;
}
