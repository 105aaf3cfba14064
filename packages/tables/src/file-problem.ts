/** One damage found by `verify`. Verifying never changes anything and goes on after a problem. */
export interface FileProblem {
  readonly path: string;
  /** Byte in the file where the damaged part begins. */
  readonly position: number;
  readonly message: string;
}
