/** What long work of a node takes from whoever asked for it. */
export interface WorkProgress {
  /** What it is doing, in one word. */
  readonly phase: string;
  readonly done: number;
  /** Absent while nobody knows. */
  readonly total?: number | undefined;
  /** Of both. */
  readonly unit: 'bytes' | 'records';
}

export interface WorkOptions {
  /** Ends the work, which then rejects with `ABORTED`. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: WorkProgress) => void) | undefined;
}

/** The same of somebody who always watches. */
export interface WatchedWork {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: WorkProgress) => void;
}

/** Ends when either does. */
export function eitherSignal(one: AbortSignal, other: AbortSignal | undefined): AbortSignal {
  return other === undefined ? one : AbortSignal.any([one, other]);
}
