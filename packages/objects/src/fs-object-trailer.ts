/**
 * The last 64 bytes of the file of an object: what is known of the bytes before.
 *
 * | at | bytes | what                                                       |
 * | -- | ----- | ---------------------------------------------------------- |
 * | 0  | 8     | `HFOBJECT`                                                 |
 * | 8  | 4     | format version, little endian: 1                           |
 * | 12 | 4     | CRC-32C of all the others                                  |
 * | 16 | 8     | bytes of the object, little endian                         |
 * | 24 | 8     | when it was put, ms since the Unix epoch, little endian    |
 * | 32 | 16    | etag: the first half of the SHA-256 of the bytes           |
 * | 48 | 16    | the name of the write, zeros for none                      |
 */
import { crc32c, HoldfastError } from '@holdfast/core';
import type { ObjectInfo } from './object-store.ts';

export const TRAILER_BYTES = 64;

const MAGIC = Buffer.from('HFOBJECT', 'latin1');
const VERSION = 1;
const ETAG_AT = 32;
const WRITE_ID_AT = 48;
const CHECKED_AT = 16;

export function encodeTrailer(info: ObjectInfo): Buffer {
  const trailer = Buffer.alloc(TRAILER_BYTES);
  MAGIC.copy(trailer);
  trailer.writeUInt32LE(VERSION, 8);
  trailer.writeBigUInt64LE(BigInt(info.size), 16);
  trailer.writeBigUInt64LE(BigInt(Math.max(0, Math.floor(info.modifiedMs))), 24);
  trailer.write(info.etag, ETAG_AT, 'hex');
  if (info.writeId !== undefined) trailer.write(info.writeId, WRITE_ID_AT, 'hex');
  trailer.writeUInt32LE(checksum(trailer), 12);
  return trailer;
}

/** @param fileBytes of the whole file, which the trailer must account for. */
export function decodeTrailer(trailer: Buffer, fileBytes: number, path: string): ObjectInfo {
  if (trailer.length !== TRAILER_BYTES || !trailer.subarray(0, 8).equals(MAGIC)) {
    throw damaged(path, 'it does not end as an object does');
  }
  const version = trailer.readUInt32LE(8);
  if (trailer.readUInt32LE(12) !== checksum(trailer)) throw damaged(path, 'its end is not whole');
  if (version !== VERSION) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `the object is of another format path=${path} version=${version}`,
    );
  }
  const size = Number(trailer.readBigUInt64LE(16));
  if (size + TRAILER_BYTES !== fileBytes) throw damaged(path, `it has ${fileBytes} bytes`);
  const writeId = trailer.subarray(WRITE_ID_AT).toString('hex');
  return {
    size,
    modifiedMs: Number(trailer.readBigUInt64LE(24)),
    etag: trailer.subarray(ETAG_AT, WRITE_ID_AT).toString('hex'),
    writeId: /^0+$/.test(writeId) ? undefined : writeId,
  };
}

function checksum(trailer: Buffer): number {
  return crc32c(trailer.subarray(CHECKED_AT), crc32c(trailer.subarray(0, 12)));
}

function damaged(path: string, what: string): HoldfastError {
  return new HoldfastError('CHECKSUM_MISMATCH', `object file is damaged: ${what} path=${path}`, {
    details: { path },
  });
}
