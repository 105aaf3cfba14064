/** The footer of an extent file: read, or worked out when it is damaged. */
import {
  BLOCK_HEADER_BYTES,
  BLOCK_TYPES,
  type BlockCodec,
  type HoldfastError,
  isHoldfastError,
  LIMITS,
} from '@holdfast/core';
import type { ExtentFileInfo } from './extent-file-info.ts';
import {
  dataBytesOf,
  decodeExtentFooter,
  EXTENT_FOOTER_BYTES,
  type ExtentFooter,
  isFooterOf,
} from './extent-format.ts';
import type { SharedFile } from './shared-file.ts';
import { damaged } from './storage-error.ts';

export interface FoundFooter {
  readonly footer: ExtentFooter;
  /** What is wrong with the size or the footer of the file. */
  readonly damage: HoldfastError | undefined;
}

/** Rejects only when the disk does not answer. */
export async function readFooter(
  file: SharedFile,
  codec: BlockCodec,
  info: ExtentFileInfo,
): Promise<FoundFooter> {
  const { path } = file;
  const position = info.bytes - EXTENT_FOOTER_BYTES;
  try {
    const block = await file.read(position, EXTENT_FOOTER_BYTES);
    const place = { type: BLOCK_TYPES.extentFooter, fileId: info.fileId, position, path };
    const footer = decodeExtentFooter(codec.decode(block, 0, place), path);
    if (!isFooterOf(footer, info)) {
      throw damaged(path, position, 'it is not the extent file the manifest names');
    }
    return { footer, damage: file.sizeProblem(info.bytes) };
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return { footer: await footerFromBlocks(file, codec, info), damage: error };
  }
}

/** Everything but the size of a block stands in the manifest; the first block knows its own. */
async function footerFromBlocks(
  file: SharedFile,
  codec: BlockCodec,
  info: ExtentFileInfo,
): Promise<ExtentFooter> {
  const { payloadBytes, extents } = info;
  for (const blockBytes of [await firstBlockBytes(file, codec, info), LIMITS.extentBlockBytes]) {
    if (blockBytes === undefined) continue;
    const directoryPosition = dataBytesOf(payloadBytes, blockBytes);
    const footer = { blockBytes, payloadBytes, extents, directoryPosition };
    if (isFooterOf(footer, info)) return footer;
  }
  // Blocks of another size whose first one is damaged: nothing can be found in it, or misread.
  const blockBytes = LIMITS.extentBlockBytes;
  return {
    blockBytes,
    payloadBytes,
    extents,
    directoryPosition: dataBytesOf(payloadBytes, blockBytes),
  };
}

/** `undefined` when it cannot be known: the first block is damaged, or the only one. */
async function firstBlockBytes(
  file: SharedFile,
  codec: BlockCodec,
  info: ExtentFileInfo,
): Promise<number | undefined> {
  try {
    const header = codec.peekHeader(await file.read(0, BLOCK_HEADER_BYTES), 0);
    if (header?.type !== BLOCK_TYPES.extentData || header.fileId !== info.fileId) return undefined;
    return header.payloadLength < info.payloadBytes ? header.payloadLength : undefined;
  } catch (error) {
    if (isUnreadable(error)) return undefined;
    throw error;
  }
}

function isUnreadable(error: unknown): error is HoldfastError {
  if (!isHoldfastError(error)) return false;
  return error.kind === 'corrupt' || error.details['systemCode'] === 'EIO';
}
