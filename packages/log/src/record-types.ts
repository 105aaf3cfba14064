/**
 * Record types: fixed numbers, one meaning each, for ever. FORMAT.md lists their payloads.
 *
 * The `required` bit says what a reader does that does not know a type: required, it refuses
 * to open (`UNKNOWN_RECORD_TYPE`); without it, it skips the record.
 */
export const REQUIRED_RECORD = 0x8000;

/** First number (without the required bit) of each engine's range of 16. */
export const RECORD_RANGES = {
  core: 0x0000,
  streams: 0x0010,
  kv: 0x0020,
  vectors: 0x0030,
  crdt: 0x0040,
  timeSeries: 0x0050,
  logs: 0x0060,
  documents: 0x0070,
  subscriptions: 0x0080,
  /** For tests of engines; never written by a release. */
  test: 0x7ff0,
} as const;

export const CORE_RECORDS = {
  /** Empty; may be skipped. */
  noop: 0x0000,
  /** An ordered list of typed sub-records, applied all or none. */
  transaction: 0x8001,
  /** Where replay may start; information only. */
  checkpoint: 0x0002,
  timeAnchor: 0x0003,
  restorePoint: 0x0004,
} as const;

export function isRequired(type: number): boolean {
  return (type & REQUIRED_RECORD) !== 0;
}
