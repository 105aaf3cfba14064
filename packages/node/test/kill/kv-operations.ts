/** What each writer of the kill test does as its n-th operation, and what its store then holds. */

export const SHARED = 'shared';
export const COUNTER = 'counter';
export const KV_KEYS = ['a', 'b/c', 'é'];
/** Kept only as long as this: it may be gone at any moment. */
export const MORTAL = 'mortal';
const TTL_MS = 30;
/** One takes the way of large values. */
const LENGTHS = [10, 300, 9_000];

export type KvOp =
  | { readonly kind: 'put'; readonly key: string; readonly value: Buffer; readonly ttlMs?: number }
  | { readonly kind: 'replace'; readonly key: string; readonly value: Buffer }
  | { readonly kind: 'delete'; readonly key: string }
  /** Of all keys but one, which it deletes. */
  | { readonly kind: 'batch'; readonly value: Buffer; readonly deleted: number }
  | { readonly kind: 'count' };

export function storeOf(writer: number): string {
  return `writer-${writer}`;
}

export function operationOf(writer: number, n: number): KvOp {
  const value = valueOf(n);
  const key = KV_KEYS[(n + writer) % KV_KEYS.length] as string;
  switch ((n * 7 + writer) % 10) {
    case 0:
      return { kind: 'delete', key };
    case 1:
    case 2:
      return { kind: 'count' };
    case 3:
      return { kind: 'put', key: MORTAL, value, ttlMs: TTL_MS };
    case 4:
    case 5:
      return { kind: 'batch', value, deleted: n % KV_KEYS.length };
    case 6:
    case 7:
      return { kind: 'replace', key, value };
    default:
      return { kind: 'put', key, value };
  }
}

/** Keys and the number of the operation that wrote each, without the mortal one. */
export type KvHeld = ReadonlyMap<string, number>;

export function after(held: KvHeld, op: KvOp, n: number): KvHeld {
  const next = new Map(held);
  if (op.kind === 'delete') next.delete(op.key);
  else if (op.kind === 'batch') {
    for (const [at, key] of KV_KEYS.entries()) {
      if (at === op.deleted) next.delete(key);
      else next.set(key, n);
    }
  } else if (op.kind !== 'count' && op.key !== MORTAL) next.set(op.key, n);
  return next;
}

/** Every byte of it says which operation it is of. */
function valueOf(n: number): Buffer {
  const text = `${n};`;
  const length = LENGTHS[n % LENGTHS.length] as number;
  return Buffer.from(text.repeat(Math.ceil(length / text.length)));
}

/** The number of the operation that wrote it; -1 when it is not whole. */
export function parseValue(value: Uint8Array): number {
  const n = Number(Buffer.from(value).toString('latin1').split(';', 1)[0]);
  return Number.isInteger(n) && valueOf(n).equals(value) ? n : -1;
}
