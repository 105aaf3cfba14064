/** Sorted rows: the unit of tables. Keys compare byte by byte, shorter first when one is a prefix. */
export interface Row {
  readonly key: Buffer;
  /** `undefined` is a tombstone: the key was deleted and hides older rows. */
  readonly value: Buffer | undefined;
}

/** Keys with `from <= key < to`; an absent bound is open. */
export interface KeyRange {
  readonly from?: Buffer;
  readonly to?: Buffer;
}

/** All keys that start with `prefix`. */
export function prefixRange(prefix: Buffer): KeyRange {
  const to = Buffer.from(prefix);
  for (let i = to.length - 1; i >= 0; i--) {
    const byte = to[i] as number;
    if (byte < 0xff) {
      to[i] = byte + 1;
      return { from: prefix, to: to.subarray(0, i + 1) };
    }
  }
  return { from: prefix };
}
