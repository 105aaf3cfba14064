/** The answers of S3 that have a body, as values. What does not make sense is refused. */
import type { HoldfastError } from '@holdfast/core';
import { unavailable } from './object-errors.ts';
import { child, childText, parseXml, type XmlElement } from './s3-xml.ts';

export interface ListedKeys {
  readonly objects: readonly { readonly key: string; readonly size: number }[];
  readonly isTruncated: boolean;
}

export interface ListedUploads {
  readonly uploads: readonly {
    readonly key: string;
    readonly uploadId: string;
    readonly initiatedMs: number;
  }[];
  /** Where the next page begins; `undefined` when this was the last. */
  readonly next: { readonly key: string; readonly uploadId: string } | undefined;
}

export function parseListedKeys(bytes: Uint8Array): ListedKeys {
  const root = expectRoot(bytes, 'ListBucketResult');
  const decode = keyDecoder(root);
  const objects = root.children
    .filter((element) => element.name === 'Contents')
    .map((element) => ({
      key: decode(needed(element, 'Key')),
      size: wholeNumber(needed(element, 'Size')),
    }));
  return { objects, isTruncated: flag(root) };
}

export function parseListedUploads(bytes: Uint8Array): ListedUploads {
  const root = expectRoot(bytes, 'ListMultipartUploadsResult');
  const decode = keyDecoder(root);
  const uploads = root.children
    .filter((element) => element.name === 'Upload')
    .map((element) => ({
      key: decode(needed(element, 'Key')),
      uploadId: needed(element, 'UploadId'),
      initiatedMs: moment(needed(element, 'Initiated')),
    }));
  if (!flag(root)) return { uploads, next: undefined };
  const key = decode(needed(root, 'NextKeyMarker'));
  return { uploads, next: { key, uploadId: needed(root, 'NextUploadIdMarker') } };
}

export function parseUploadId(bytes: Uint8Array): string {
  return needed(expectRoot(bytes, 'InitiateMultipartUploadResult'), 'UploadId');
}

/** S3 may say 200 first, and in the body that it failed: then the error is what is given. */
export function parseCompletion(bytes: Uint8Array): { etag: string } | S3Error {
  const root = parseXml(bytes);
  if (root.name === 'Error') return errorOf(root);
  if (root.name !== 'CompleteMultipartUploadResult') throw nonsense(`root=${root.name}`);
  return { etag: unquote(needed(root, 'ETag')) };
}

export interface S3Error {
  readonly code: string;
  readonly message: string;
  readonly region: string | undefined;
}

/** `undefined` where the body is not one of S3: from a proxy, say, or cut off. */
export function parseError(bytes: Uint8Array): S3Error | undefined {
  try {
    const root = parseXml(bytes);
    return root.name === 'Error' && child(root, 'Code') !== undefined ? errorOf(root) : undefined;
  } catch {
    return undefined;
  }
}

export function unquote(etag: string): string {
  return /^(?:W\/)?"(.*)"$/.exec(etag)?.[1] ?? etag;
}

function errorOf(root: XmlElement): S3Error {
  return {
    code: childText(root, 'Code') ?? '',
    message: childText(root, 'Message') ?? '',
    region: childText(root, 'Region'),
  };
}

function expectRoot(bytes: Uint8Array, name: string): XmlElement {
  const root = parseXml(bytes);
  if (root.name !== name) throw nonsense(`root=${root.name} expected=${name}`);
  return root;
}

/** Keys are in escapes of URLs where the store says that it honoured our wish. */
function keyDecoder(root: XmlElement): (key: string) => string {
  const encoding = childText(root, 'EncodingType') ?? '';
  if (encoding === '') return (key) => key;
  if (encoding !== 'url') throw nonsense(`EncodingType=${encoding}`);
  return (key) => {
    try {
      return decodeURIComponent(key.replaceAll('+', ' '));
    } catch {
      throw nonsense('a key is no URL escape');
    }
  };
}

function needed(element: XmlElement, name: string): string {
  const text = childText(element, name);
  if (text === undefined || text === '') throw nonsense(`missing=${name}`);
  return text;
}

function wholeNumber(text: string): number {
  const number = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(number)) throw nonsense('a size is no number');
  return number;
}

function moment(text: string): number {
  const ms = Date.parse(text);
  if (!Number.isFinite(ms)) throw nonsense('a time is no time');
  return ms;
}

function flag(root: XmlElement): boolean {
  const text = needed(root, 'IsTruncated');
  if (text !== 'true' && text !== 'false') throw nonsense('IsTruncated is neither true nor false');
  return text === 'true';
}

function nonsense(what: string): HoldfastError {
  return unavailable(`the answer of the object store makes no sense: ${what}`);
}
