/** The seam for chance. Under simulation every byte comes from one seed. */
export interface Random {
  /** Fresh bytes owned by the caller; cryptographically strong in production. */
  bytes(length: number): Buffer;
  /** A uniform integer, 0 <= n < `below`; `below` is at most 2^32. */
  integer(below: number): number;
}
