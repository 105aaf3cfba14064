/** Which codings of a body are taken: none. */
import { HoldfastError } from '@holdfast/core';

export interface BodyCodings {
  readonly contentEncoding: string | undefined;
  readonly transferEncoding: string | undefined;
}

/**
 * Bodies are stored as they come: a coded one would be stored coded. The parser takes chunks off,
 * and leaves what else a transfer coding did.
 */
export function refuseCodings(fields: BodyCodings): void {
  const { contentEncoding = '', transferEncoding = 'chunked' } = fields;
  if (contentEncoding !== '' && contentEncoding.toLowerCase() !== 'identity') {
    throw new HoldfastError('UNSUPPORTED_ENCODING', 'content-encoding is not supported');
  }
  if (transferEncoding.trim().toLowerCase() !== 'chunked') {
    throw new HoldfastError('UNSUPPORTED_ENCODING', 'transfer-encoding is not chunked alone');
  }
}
