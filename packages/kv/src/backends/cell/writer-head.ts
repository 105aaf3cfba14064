/**
 * Who writes to a store of cells, under which epoch, and which versions are taken: one value that is
 * compared and set. FORMAT.md, "Head of a store of cells".
 *
 * | size | field |
 * | --- | --- |
 * | u8 | format version, 1 |
 * | varint | the newest epoch that was claimed |
 * | varint | versions below this are taken |
 * | string | the writer: a name by chance |
 * | u32 | CRC-32C of all before |
 */
import { ByteReader, ByteWriter, crc32c, HoldfastError } from '@holdfast/core';

const FORMAT = 1;
const CRC_BYTES = 4;

export interface WriterHead {
  readonly epoch: number;
  /** Versions below this were taken by somebody. */
  readonly taken: number;
  readonly writer: string;
}

export const NO_WRITER: WriterHead = { epoch: 0, taken: 1, writer: '' };

export function encodeWriterHead({ epoch, taken, writer }: WriterHead): Buffer {
  const body = new ByteWriter(64).u8(FORMAT).varint(epoch).varint(taken).string(writer).finish();
  return new ByteWriter(body.length + CRC_BYTES).raw(body).u32(crc32c(body)).finish();
}

export function decodeWriterHead(bytes: Buffer): WriterHead {
  const body = bytes.subarray(0, -CRC_BYTES);
  if (bytes.length <= CRC_BYTES || bytes.readUInt32LE(body.length) !== crc32c(body)) {
    throw new HoldfastError('CHECKSUM_MISMATCH', 'the head of the store is damaged');
  }
  const reader = new ByteReader(body);
  const format = reader.u8();
  if (format !== FORMAT) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `the store was written by another format version, upgrade holdfast version=${format}`,
    );
  }
  const head = { epoch: reader.varint(), taken: reader.varint(), writer: reader.string() };
  reader.end();
  return head;
}
