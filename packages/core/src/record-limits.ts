/**
 * The bounds of signed records (`@holdfast/records`), as `limits.ts` holds all others: unit in the
 * name, and what happens at it. The first part is the format, the same on every peer: whoever
 * changes it makes another network. The rest are defaults of settings and bounds of one peer.
 */
const KIB = 1024;
const MIB = 1024 * KIB;

export const RECORD_LIMITS = {
  // -- the format, the same everywhere -----------------------------------------------------
  /** Subkeys of a record, all writers together. More: `INVALID_SCHEMA`. */
  maxSubkeys: 1_024,
  /** Members of a schema. More: `INVALID_SCHEMA`. */
  maxMembers: 256,
  /** Different keys that may write to one record. More: `INVALID_SCHEMA`. */
  maxWriters: 256,
  /** What an application may put into one subkey. More: `RECORD_TOO_LARGE`. */
  maxValueBytes: (32 * KIB) as number,
  /** Encrypted bytes of a record if all its subkeys are full: it bounds each by its share. */
  maxRecordDataBytes: (1 * MIB) as number,
  /** Ranges of one set of subkeys in a message. More: `PEER_MESSAGE_INVALID`. */
  maxSubkeyRanges: 512,
  /** Peers that one answer names. More: `PEER_MESSAGE_INVALID`. */
  maxPeersInAnswer: 20,
  /** UTF-8 of a peer's id. More: `PEER_MESSAGE_INVALID`. */
  maxPeerIdBytes: 128,
  /** Addresses of one peer in a message. More are left out by the sender. */
  maxPeerAddresses: 8,
  /** UTF-8 of one address. Longer ones are left out by the sender. */
  maxPeerAddressBytes: 256,
  /** A message with all its parts. More: `PEER_MESSAGE_INVALID`, the stream is closed. */
  maxPeerMessageBytes: (256 * KIB) as number,

  // -- calls -------------------------------------------------------------------------------
  /** One question to one peer. Beyond: `PEER_UNREACHABLE`. */
  rpcTimeoutMs: 5_000,
  /** A peer that is silent for longer unlocks the next one in a fanout: a third of the timeout. */
  slowPeerMs: 1_650,
  /** Questions under way from one peer to this one. Beyond they wait, and the peer with them. */
  maxQuestionsOfPeer: 64,
  /** Questions of all peers that are served beside each other. Beyond they wait, each peer in turn. */
  maxQuestionsServed: 256,
  /** Questions under way from this peer to one other. Beyond they wait. */
  maxQuestionsToPeer: 64,

  // -- fanout ------------------------------------------------------------------------------
  /** Peers that must agree before a get is done. */
  getCount: 3,
  /** Peers that must hold a value before a set is done. */
  setCount: 5,
  /** Only the nearest so many peers count; a peer that knows as many nearer ones declines. */
  consensusWidth: 10,
  /** Questions of one fanout under way, those to slow peers not counted. */
  fanoutLanes: 5,
  /** Peers of the table that a fanout begins with. */
  fanoutSeeds: 20,
  /** Without progress a fanout ends after this. */
  fanoutTimeoutMs: 10_000,
  /** A fanout asks no more peers than this: answers of liars do not make it endless. */
  maxFanoutPeers: 256,
  /** Times a set begins anew with a newer value it met, before it is left to the queue. */
  maxFanoutRestarts: 8,

  /** Peers that lag behind and are given a newer value after a get, at once. Beyond: not now. */
  maxReadRepairs: 64,
  /** The same peer is given the same subkey after a get no sooner than after this. */
  readRepairPauseMs: 10_000,
  /** Times a set takes a higher number because peers know that its own was used before. */
  maxSequenceRaises: 2,

  // -- peer table --------------------------------------------------------------------------
  /** Peers that are remembered. Beyond, the ones silent longest go. */
  maxKnownPeers: 1_024,
  /** Peers that one has heard of and not asked yet. Beyond, the oldest go. */
  maxCandidatePeers: 256,
  /** Peers without a connection whose addresses a network keeps. Beyond, the oldest go. */
  maxLearnedPeers: 2_048,
  /** Failures on end after which a peer counts no longer. */
  failuresOfPeer: 2,
  /** Questions under way to find out who is there. */
  peerProbesAtOnce: 8,
  /** Peers of a table below which it looks for more. */
  minKnownPeers: 20,
  /** Between two looks for more peers. */
  peerRefreshMs: 60_000,

  // -- the records of this peer, and those it keeps for others -----------------------------
  /** Records kept for others. Beyond, the ones not touched longest go, whole. */
  maxRemoteRecords: 65_536,
  /** Bytes kept for others. Beyond, the same. */
  maxRemoteBytes: (1024 * MIB) as number,
  /** Records that one peer may have made here. Beyond: its sets are declined. */
  maxRecordsOfPeer: 8_192,
  /** Bytes that one peer may have made here. Beyond: its sets are declined. */
  maxBytesOfPeer: (128 * MIB) as number,
  /** That a record was touched is written down this often at most: a crash forgets what came since. */
  recordTouchMs: 60_000,
  /** Bytes of values that each store keeps in memory. */
  recordCacheBytes: (16 * MIB) as number,
  /** A copy that nobody touched for so many days goes. */
  remoteIdleDays: 30,
  /** Sequence floors of records that went: the oldest go first. */
  maxSequenceFloors: 262_144,
  /** Pairs of record and peer of which is known that the peer has the descriptor. */
  maxDescriptorsKnown: 2_560,

  // -- watches -----------------------------------------------------------------------------
  /** Watches on one record by peers that are no members. Beyond: declined. */
  maxPublicWatches: 32,
  /** Watches on one record by one member. Beyond: declined. */
  maxMemberWatches: 8,
  /** Watches that one peer has here, on all records. Beyond: declined. */
  maxWatchesOfPeer: 1_024,
  /** Watches on all records. Beyond: declined. */
  maxWatches: 16_384,
  /** A watch lives no longer without renewal. */
  maxWatchMs: 600_000,
  /** A shorter watch is declined. */
  minWatchMs: 5_000,
  /** A watch is renewed this long before it ends. */
  watchRenewalMs: 30_000,
  /** A watch that has too few peers asks for more after this. */
  watchRetryMs: 5_000,
  /** A watch looks for changes that nobody told it of this often. */
  watchInspectMs: 60_000,
  /** Changes of this time go as one message. */
  watchIntervalMs: 1_000,

  // -- transactions ------------------------------------------------------------------------
  /** Records of one transaction. More: `RECORD_TOO_LARGE`. */
  maxTransactionRecords: 32,
  /** Transactions on one record by peers that are no members. Beyond: declined. */
  maxPublicTransactions: 4,
  /** Transactions on one record by one member. Beyond: declined. */
  maxMemberTransactions: 1,
  /** Transactions that one peer has here, on all records. Beyond: declined. */
  maxTransactionsOfPeer: 128,
  /** Transactions on all records. Beyond: declined. */
  maxTransactions: 4_096,
  /** Values that transactions hold and did not commit yet. Beyond, the one that writes ends. */
  maxTransactionBytes: (64 * MIB) as number,
  /** Once enough peers answered, the rest is waited for three times as long as that took, and this. */
  minGraceMs: 100,
  /** A transaction ends when nothing is heard of it for so long. */
  transactionIdleMs: 10_000,
  /** A transaction ends after this, whatever is heard of it: a lock is never held for ever. */
  transactionLifeMs: 60_000,

  // -- background --------------------------------------------------------------------------
  /** The beat of everything that is looked at again and again. */
  recordTickMs: 1_000,
  /** First pause after a queued write failed; it doubles, with chance in it. */
  queuedWriteRetryMs: 1_000,
  /** Longest such pause. */
  maxQueuedWriteRetryMs: 300_000,
  /** Queued writes under way. */
  queuedWritesAtOnce: 16,
  /** Queued writes of one record under way. */
  queuedWritesOfRecord: 4,
  /** Coordinates of peers that are kept: each is a hash. */
  placedPeers: 8_192,
  /** Public keys kept imported: to import one costs as much as a verification. */
  importedKeys: 4_096,
} as const;
