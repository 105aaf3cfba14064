/** The protocol's headers (PROTOCOL 13.2) and the producer's (5.2.1), each spelled here alone. */
export const HEADERS = {
  streamSeq: 'Stream-Seq',
  streamTtl: 'Stream-TTL',
  streamExpiresAt: 'Stream-Expires-At',
  streamClosed: 'Stream-Closed',
  streamForkedFrom: 'Stream-Forked-From',
  streamForkOffset: 'Stream-Fork-Offset',
  streamForkSubOffset: 'Stream-Fork-Sub-Offset',
  streamNextOffset: 'Stream-Next-Offset',
  streamCursor: 'Stream-Cursor',
  streamUpToDate: 'Stream-Up-To-Date',
  streamSseDataEncoding: 'Stream-SSE-Data-Encoding',
  producerId: 'Producer-Id',
  producerEpoch: 'Producer-Epoch',
  producerSeq: 'Producer-Seq',
  producerExpectedSeq: 'Producer-Expected-Seq',
  producerReceivedSeq: 'Producer-Received-Seq',
} as const;

/** Those that a page of another origin may read. */
export const EXPOSED_HEADERS: readonly string[] = [
  HEADERS.streamNextOffset,
  HEADERS.streamCursor,
  HEADERS.streamUpToDate,
  HEADERS.streamClosed,
  HEADERS.streamTtl,
  HEADERS.streamExpiresAt,
  HEADERS.streamSseDataEncoding,
  HEADERS.producerEpoch,
  HEADERS.producerSeq,
  HEADERS.producerExpectedSeq,
  HEADERS.producerReceivedSeq,
];
