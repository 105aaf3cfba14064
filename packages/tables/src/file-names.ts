/**
 * Names of the files a manifest governs. A file whose name parses but which no manifest
 * names is an orphan of an interrupted write.
 */
import { fileId, type FileId } from '@holdfast/core';

const TABLE_NAME = /^table-(\d{16})\.hft$/;
const EXTENT_NAME = /^extent-(\d{16})\.hfx$/;
const MANIFEST_NAME = /^manifest-(\d{16})$/;
const MIRROR_SUFFIX = '.mirror';
/** Of a file that did not get its name yet. */
export const TEMPORARY_SUFFIX = '.tmp';

export function tableFileName(id: FileId): string {
  return `table-${padded(id)}.hft`;
}

export function extentFileName(id: FileId): string {
  return `extent-${padded(id)}.hfx`;
}

export function manifestFileName(generation: number): string {
  return `manifest-${padded(generation)}`;
}

/** The name, or path, of the second copy of a file that rests twice. */
export function mirrorOf(name: string): string {
  return name + MIRROR_SUFFIX;
}

/** What a name of either copy, finished or not, is a copy of. */
export function originalOf(name: string): string {
  const finished = withoutEnd(name, TEMPORARY_SUFFIX);
  return withoutEnd(finished, MIRROR_SUFFIX);
}

/** `undefined` when it is not a table's name. */
export function parseTableFileName(name: string): FileId | undefined {
  const number = numberIn(TABLE_NAME, name);
  return number === undefined ? undefined : fileId(number);
}

/** `undefined` when it is not an extent file's name. */
export function parseExtentFileName(name: string): FileId | undefined {
  const number = numberIn(EXTENT_NAME, name);
  return number === undefined ? undefined : fileId(number);
}

/** The generation; `undefined` when it is not a manifest's name. */
export function parseManifestFileName(name: string): number | undefined {
  return numberIn(MANIFEST_NAME, name);
}

function withoutEnd(name: string, end: string): string {
  return name.endsWith(end) ? name.slice(0, -end.length) : name;
}

function padded(value: number): string {
  return String(value).padStart(16, '0');
}

function numberIn(pattern: RegExp, name: string): number | undefined {
  const digits = pattern.exec(name)?.[1];
  if (digits === undefined) return undefined;
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : undefined;
}
