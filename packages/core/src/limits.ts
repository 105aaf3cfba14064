/**
 * Every bound of Holdfast in one place: unit in the name, and what happens at it.
 * `limits.test.ts` proves the relations between them. Settings that an operator may tune
 * take their default from here.
 *
 * Products are written `(4 * KIB) as number`: declarations are emitted file by file, and only
 * literals and assertions have a type there.
 */
const KIB = 1024;
const MIB = 1024 * KIB;

export const LIMITS = {
  // -- log ---------------------------------------------------------------------------------
  /** Block of the disk: batches start on it, so that no acknowledged block is written twice. */
  blockBytes: (4 * KIB) as number,
  /** Sector that a power cut keeps or loses whole; the torn-or-rotten decision counts in it. */
  sectorBytes: 512,
  /** A segment is sealed once it has grown past this. Smaller: more files, earlier truncation. */
  segmentTargetBytes: (64 * MIB) as number,
  /** Zeros written ahead of the tail at a time. Larger: fewer metadata syncs, slower first start. */
  preallocateBytes: (4 * MIB) as number,
  /** One record's payload. Beyond: `RECORD_TOO_LARGE`. */
  maxRecordBytes: (32 * MIB) as number,
  /** A batch stops taking records past this and is written; one larger record still fits alone. */
  maxBatchBytes: (8 * MIB) as number,
  /** Bytes waiting for the disk. Beyond: `COMMIT_QUEUE_FULL` (503), nothing written. */
  maxQueuedBytes: (128 * MIB) as number,
  /** Free bytes kept on the disk: below it appends get `DISK_FULL` (507), deletes still run. */
  diskReserveBytes: (64 * MIB) as number,
  /** Pause between looks at a full disk. */
  diskFullProbeMs: 500,
  /** Zeros of a segment made at a start; it doubles from there. Larger: slower starts, larger small databases. */
  firstExtensionBytes: (256 * KIB) as number,
  /** Bytes of a segment read at a time by recovery, replay and verify; a larger batch is read whole. */
  logReadBytes: (256 * KIB) as number,

  // -- tables ------------------------------------------------------------------------------
  /** Payload of one table data block: the unit of one read. */
  tableBlockBytes: (16 * KIB) as number,
  /** Longest row key. Longer: `RECORD_TOO_LARGE`. */
  maxRowKeyBytes: (4 * KIB) as number,
  /** Longest row value. Longer values belong in an extent. */
  maxRowValueBytes: (1 * MIB) as number,
  /** Payload of one extent block: the unit of one checked read of stream bytes. */
  extentBlockBytes: (64 * KIB) as number,
  /** Decoded blocks kept in memory, least recently used first out. */
  blockCacheBytes: (64 * MIB) as number,
  /** Open tables of one size tier before they are merged. */
  tablesPerTier: 4,
  /** Rows that share one filter block and one index block. Larger: fewer, bigger reads for one get. */
  tableGroupRows: 8_192,
  /** Table bytes gathered before they are written; background work gives way in between. */
  tableWriteBytes: (128 * KIB) as number,
  /** A scan reads ahead up to this much. Larger: fewer reads, more memory per open scan. */
  scanReadBytes: (256 * KIB) as number,
  /** Bytes of a new file that wait for the disk at a time. Larger: longer waits of the log beside it. */
  fileSyncBytes: (4 * MIB) as number,
  /** One disk read or write of an extent file, and of a verify, at most. */
  fileReadBytes: (1 * MIB) as number,
  /** Tables up to this size form the smallest tier. */
  smallestTierBytes: (1 * MIB) as number,
  /** Bytes a second a background merge may write. Smaller: calmer disk, more tables to read. */
  compactionBytesPerSecond: (64 * MIB) as number,
  /** Size of a manifest. Beyond: `INVARIANT_VIOLATED` when written, `FORMAT_INVALID` when read. */
  maxManifestBytes: (64 * MIB) as number,
  /** Files a manifest may name. Beyond: `INVARIANT_VIOLATED`; compaction keeps far below it. */
  maxManifestFiles: 65_536,

  // -- database ----------------------------------------------------------------------------
  /** Shards of a new database when the settings do not say; a power of two. */
  defaultShardCount: 4,
  /** Most shards a database may have; a power of two. */
  maxShardCount: 256,
  /** Log bytes since the last checkpoint that start the next one. Larger: longer replay. */
  checkpointLogBytes: (64 * MIB) as number,
  /** Log bytes since the last checkpoint beyond which commits wait: `COMMIT_QUEUE_FULL` (503). */
  maxUncheckpointedBytes: (512 * MIB) as number,
  /** Pause before a checkpoint that met a full disk is tried again. */
  checkpointRetryMs: 1_000,
  /** An extent file with less than this share of live bytes is rewritten. */
  extentRewriteFraction: 0.5,
  /** Extent files of a database above which the smallest are merged. */
  maxExtentFiles: 64,
  /** Live bytes copied by one rewrite; bounds the memory it takes. */
  extentRewriteBytes: (32 * MIB) as number,
  /** Pause between two passes of the scrub. Longer: damage is met by readers first. */
  scrubIntervalMs: 86_400_000,
  /** The first pass comes this long after a start: a start has enough to read. */
  scrubStartDelayMs: 600_000,
  /** Bytes a second the scrub reads. Larger: a shorter pass, a busier disk. */
  scrubBytesPerSecond: (8 * MIB) as number,
  /** Bytes a second at which second copies are made and mended. Smaller: longer with one copy. */
  mirrorBytesPerSecond: (16 * MIB) as number,
  /** Bytes of second copies that a close still makes; the next start makes the others. */
  closeMirrorBytes: (64 * MIB) as number,
  /** Damages kept in the report, newest last. Beyond: the oldest are only counted. */
  maxDamages: 256,
  /** Damaged bytes kept in `quarantine/`, oldest out first; a larger file is not kept at all. */
  quarantineBytes: (64 * MIB) as number,
  /** Files kept in `quarantine/`; the same. */
  quarantineFiles: 64,
  /** Operations of one atomic commit. Beyond: `RECORD_TOO_LARGE`. */
  maxTransactionOperations: 4096,

  // -- streams -----------------------------------------------------------------------------
  /** Decoded bytes of a stream's path. Beyond: `URL_TOO_LONG` (414). */
  maxPathBytes: 1024,
  /** Segments between slashes of a path. Beyond: `INVALID_PATH`. */
  maxPathSegments: 32,
  /** Content type of a stream. Beyond: `INVALID_HEADER`. */
  maxContentTypeBytes: 256,
  /** `Producer-Id` and `Stream-Seq`. Beyond: `INVALID_HEADER`. */
  maxWriterTokenBytes: 256,
  /** Producers remembered per stream. Beyond: `QUOTA_EXCEEDED`. */
  maxProducersPerStream: 10_000,
  /** Streams of one database; metadata is kept in memory (about 1 KiB each). Beyond: `QUOTA_EXCEEDED`. */
  maxStreams: 1_000_000,
  /** Links from a fork to its oldest ancestor. Beyond: `QUOTA_EXCEEDED`. */
  maxForkDepth: 64,
  /** Nesting of a JSON message. Beyond: `INVALID_JSON`. */
  maxJsonDepth: 128,
  /** Messages of one JSON append. Beyond: `BODY_TOO_LARGE`. */
  maxJsonMessages: 100_000,
  /** Body of one read response; a read gives at least one whole message. Larger: fewer requests, more memory. */
  maxChunkBytes: (4 * MIB) as number,
  /** Bytes of a stream's newest appends kept in memory beyond the last checkpoint. */
  tailCacheBytesPerStream: (256 * KIB) as number,
  /** The same over all streams, least recently used first out. */
  tailCacheBytes: (64 * MIB) as number,
  /** Data of one extent of a stream. Larger: fewer rows, a larger index to decode at the first read. */
  maxExtentBytes: (16 * MIB) as number,
  /** Messages of one extent of a stream; the same. */
  maxExtentMessages: 262_144,
  /** Extent rows kept in memory over all streams, least recently used streams first out. */
  extentListCacheEntries: 262_144,
  /** Decoded message indexes of extents kept in memory, least recently used first out. */
  extentIndexCacheBytes: (16 * MIB) as number,
  /** A touch by a reader reaches the stream's row at the next checkpoint after this. */
  touchSaveMs: 3_600_000,
  /** Bytes read from disk at a time while a body is sent. */
  readPieceBytes: (256 * KIB) as number,

  // -- subscriptions -----------------------------------------------------------------------
  /** Id of a subscription. Beyond: `INVALID_SUBSCRIPTION`, as for the next four. */
  maxSubscriptionIdBytes: 256,
  /** Its pattern. */
  maxPatternBytes: 1024,
  /** Its description. */
  maxDescriptionBytes: 4096,
  /** URL of a webhook. */
  maxWebhookUrlBytes: 2048,
  /** Name a worker claims with. */
  maxWorkerBytes: 256,
  /** Subscriptions of one node. Beyond: `QUOTA_EXCEEDED`. */
  maxSubscriptions: 10_000,
  /** Streams linked to one subscription. Beyond: `QUOTA_EXCEEDED`; a stream created later that matches stays unlinked, and is counted and told. */
  maxLinksPerSubscription: 100_000,
  /** Links of all subscriptions, about half a KiB of memory each; the same. */
  maxSubscriptionLinks: 1_000_000,
  /** Streams named in one wake, and acks in one request. More pending ones come with the next wake. */
  maxWakeStreams: 1_000,
  /** Requests that wait for one subscription. Beyond: `COMMIT_QUEUE_FULL` (503). */
  maxSubscriptionQueue: 256,
  /** Shortest lease (PROTOCOL 6.2). Below: `INVALID_SUBSCRIPTION`. */
  minLeaseTtlMs: 1_000,
  /** Lease of a subscription that does not say. Longer: work of a dead worker waits longer. */
  leaseTtlMs: 30_000,
  /** Longest lease. Beyond: `INVALID_SUBSCRIPTION`. */
  maxLeaseTtlMs: 600_000,
  /** Pause before a failed delivery is tried again; it doubles from there (PROTOCOL 7.1). */
  webhookRetryMs: 1_000,
  /** Longest such pause. */
  maxWebhookRetryMs: 60_000,
  /** Share of the pause that is random, up or down. */
  webhookRetryJitterFraction: 0.2,
  /** Failed deliveries in a row after which work goes to the dead letters and the subscription is parked. */
  maxWebhookAttempts: 20,
  /** One delivery, from the lookup to the last byte of the answer; never longer than the lease. */
  webhookTimeoutMs: 10_000,
  /** Answer of a receiver. Beyond: the delivery failed. */
  maxWebhookAnswerBytes: (64 * KIB) as number,
  /** Deliveries at the same time; more wait. */
  maxWebhookDeliveries: 64,
  /** Deliveries to one host at the same time; more wait. */
  maxWebhookDeliveriesPerHost: 16,
  /** Age at which a signing key is followed by a new one. */
  signingKeyRotationMs: 1_209_600_000,
  /** A new signing key is published this long before it signs: above the caching time of the key set. */
  signingKeyPrepublishMs: 600_000,
  /** An old signing key stays published this long after its last signature: above the replay window. */
  signingKeyRetireMs: 900_000,
  /** Caching time of the key set. */
  keySetMaxAgeSeconds: 300,
  /** Body of a control request, with room for acks of a whole wake. Beyond: `BODY_TOO_LARGE` (413). */
  maxControlBodyBytes: (2 * MIB) as number,

  // -- HTTP --------------------------------------------------------------------------------
  /** Request body. Beyond: `BODY_TOO_LARGE` (413). */
  maxBodyBytes: (16 * MIB) as number,
  /** Request bodies that are not whole yet, over all connections. Beyond: `BODY_MEMORY_FULL` (503). */
  maxCollectedBodyBytes: (256 * MIB) as number,
  /** Request line. Beyond: `URL_TOO_LONG` (414). */
  maxUrlBytes: (8 * KIB) as number,
  /** How long the rest of a refused body is taken and dropped, so that its sender sees the answer. */
  lingerMs: 1_000,
  /** All request headers. Beyond: 431. */
  maxHeaderBytes: (16 * KIB) as number,
  /** Time for the headers of one request, against slow senders. */
  headersTimeoutMs: 10_000,
  /** Headers of one request, counted. Beyond: 431. */
  maxRequestHeaders: 128,
  /** Time for one whole request, however steadily its body comes. */
  requestTimeoutMs: 600_000,
  /** A body has to come at this rate, over each `bodyWindowMs`. Slower: `REQUEST_TIMEOUT` (408). */
  minBodyBytesPerSecond: (4 * KIB) as number,
  /** Window of that rate. Longer: a trickle holds its place for longer. */
  bodyWindowMs: 10_000,
  /** Requests sent ahead of their answers on one connection. Beyond: `CLIENT_QUOTA_EXCEEDED` (429). */
  maxPipelinedRequests: 64,
  /** Bytes of them, heads and bodies. Beyond: the same. */
  maxPipelinedBytes: (256 * KIB) as number,
  /** Idle keep-alive connection. */
  keepAliveTimeoutMs: 65_000,
  /** A response nobody reads for this long is dropped, and so is one that is read too slowly. */
  writeIdleTimeoutMs: 60_000,
  /** What is there to be read has to be taken at this rate, over each `writeIdleTimeoutMs`. */
  minReadBytesPerSecond: (1 * KIB) as number,
  /** Memory of responses that clients are slow to take, over all of them: beyond, the slowest are dropped, and reads from disk wait. */
  maxUnsentBytes: (32 * MIB) as number,
  /** A response of which nothing was taken for this long is dropped when another one needs its memory. */
  responseStallMs: 5_000,
  /** How long a read waits for memory of other responses. Beyond: `RESPONSE_MEMORY_FULL` (503). */
  responseWaitMs: 15_000,
  /** Connections of one client; none of these bounds is for loopback. Beyond: `CLIENT_QUOTA_EXCEEDED` (429). */
  maxConnectionsPerClient: 2_048,
  /** Requests under way of one client. Beyond: the same. */
  maxRequestsPerClient: 2_048,
  /** Long-polls and SSE connections of one client. Beyond: the same. */
  maxLiveReadersPerClient: 1_024,
  /** What a client may use at once of its rates, in seconds of them. */
  rateBurstSeconds: 2,
  /** Clients without a connection whose rates are remembered, longest unseen first out. */
  maxRememberedClients: 65_536,
  /** Long-polls and SSE connections together. Beyond: `TOO_MANY_READERS` (503). */
  maxLiveReaders: 20_000,
  /** How long a long-poll waits for data. */
  longPollTimeoutMs: 30_000,
  /** An SSE connection is ended after this; the client resumes. */
  sseRotateMs: 60_000,
  /** A comment line that keeps proxies awake. */
  sseHeartbeatMs: 15_000,
  /** Unsent bytes of one SSE reader. Beyond: it is dropped and can resume from its last offset. */
  maxSseBufferedBytes: (1 * MIB) as number,
  /** Time a drain waits for requests in flight before it cuts them. */
  drainTimeoutMs: 10_000,
  /** Pause between two looks for connections past `headersTimeoutMs`: the two add up. */
  connectionsCheckMs: 2_000,
  /** Open connections of one listener; above `maxLiveReaders`. Beyond: not accepted. */
  maxConnections: 30_000,
  /** Streams of one page of the list route. Beyond: `INVALID_QUERY`. */
  maxListedStreams: 1_000,
  /** Stores of one page of `GET /v1/kv`. Beyond: `INVALID_QUERY`. */
  maxListedStores: 1_000,
  /** Values of one page of a store, by HTTP, and one more: it ends sooner then, and the next one goes on. */
  maxPageBytes: (4 * MIB) as number,
  /** Times that `If-Match: *` looks again for the entry others write meanwhile. Beyond: `COMMIT_QUEUE_FULL`. */
  maxConditionTries: 64,
  /** Reads of one store under way by HTTP: each may give the largest value. More wait. */
  storeReads: 64,
  /** Changes that one watch sends before others have their turn. */
  changesPerTurn: 256,
  /** Newest changes as they are sent to those who watch, kept for all of them. */
  sharedChangeFrames: 256,
  /** Their bytes; the newest is kept in any case. */
  sharedChangeFrameBytes: (2 * MIB) as number,
  /** `Retry-After` on 503 and 507. */
  retryAfterSeconds: 1,

  // -- objects -----------------------------------------------------------------------------
  /** Longest key of an object, UTF-8; S3 takes 1024 with the prefix. Longer: `INVALID_OBJECT_KEY`. */
  maxObjectKeyBytes: 512,
  /** One part of a large upload, held in memory; S3 wants 5 MiB at least. Larger: fewer requests. */
  objectPartBytes: (8 * MIB) as number,
  /** Parts of one object that S3 takes. Beyond: `OBJECT_TOO_LARGE`. */
  maxObjectParts: 10_000,
  /** Parts of one upload under way; times `objectPartBytes` its memory. More: faster on long ways. */
  objectUploads: 4,
  /** Requests of one store waiting for their answer; further ones wait their turn. */
  objectRequests: 16,
  /** Silence of an object store in the middle of a request. Longer: `STORAGE_UNAVAILABLE`. */
  objectSilenceMs: 30_000,
  /** Answer of an object store that is read whole: a page of a list, an error. Longer: `STORAGE_UNAVAILABLE`. */
  maxObjectAnswerBytes: (4 * MIB) as number,
  /** Elements of such an answer. More: the same. */
  maxObjectAnswerElements: 20_000,
  /** Keys of one page of a list. */
  objectListKeys: 1_000,
  /** One piece of a body that is read from memory or from a file. */
  objectReadBytes: (256 * KIB) as number,
  /** Calls for one asked of a retrying store, the first included. */
  objectAttempts: 6,
  /** Longest pause before the second; it doubles from there, and chance shortens each. */
  objectRetryMs: 200,
  /** Longest such pause. */
  maxObjectRetryMs: 20_000,
  /** Time a put on files waits while another one changes objects beside it. Longer: `STORAGE_UNAVAILABLE`. */
  objectLockWaitMs: 15_000,
  /** Pause between two looks at such a lock of another process. */
  objectLockLookMs: 10,
  /** Folders of an fs store known to be synced; forgotten ones are synced again when read. */
  maxSettledFolders: 8_192,
  /** Credentials that end sooner than this are fetched anew. */
  credentialsRefreshMs: 300_000,

  // -- kv ----------------------------------------------------------------------------------
  /** Key of an entry, UTF-8. Longer: `INVALID_ENTRY_KEY`. */
  maxEntryKeyBytes: (2 * KIB) as number,
  /** A namespace, and a key in it. Longer: the same. */
  maxNamespaceNameBytes: 120,
  /** Value of an entry. Larger: `RECORD_TOO_LARGE`. */
  maxEntryValueBytes: (16 * MIB) as number,
  /** Keys and values of one batch; one entry goes alone. Beyond: the same. */
  maxEntryBatchBytes: (16 * MIB) as number,
  /** Highest version a stamp may give, so that later ones are numbers too. Beyond: the same. */
  maxStampedVersion: 4_503_599_627_370_496,
  /** Entries of one page. */
  maxPageEntries: 1_000,
  /** Characters of a page token; above what the longest key takes. Longer: `INVALID_PAGE_TOKEN`. */
  maxPageTokenChars: 4_096,
  /** Keys of one `getMany`. */
  maxBatchGets: 10_000,
  /** Entries that `clear` deletes in one batch. Larger: longer waits of other writes. */
  clearedPerBatch: 256,
  /** Changes kept for those who watch. Beyond: the oldest go, `CHANGES_TRIMMED` for who needs them. */
  maxKeptChanges: 65_536,
  /** Keys and values of those changes; the same. */
  maxKeptChangeBytes: (32 * MIB) as number,
  /** Pause between two rounds that remove what is past its expiry. */
  purgeIntervalMs: 1_000,
  /** Entries that one such round removes at most. */
  purgesPerRound: 1_000,
  /** Nothing is removed this long after a start: time to look at the clock. */
  purgeStartGraceMs: 10_000,
  /** A larger value rests in an extent, past the merging of rows. Larger: more is copied by merges. */
  inlineEntryBytes: (4 * KIB) as number,
  /** Entries of the engine read last, kept in memory; least recently used first out. */
  entryCacheBytes: (32 * MIB) as number,
  /** Bytes of writes that wait for their turn on a key. Beyond: `COMMIT_QUEUE_FULL`. */
  maxWaitingEntryBytes: (64 * MIB) as number,
  /** Name of a store of the engine. Longer: `INVALID_ENTRY_KEY`. */
  maxStoreNameBytes: 64,
  /** Stores of one engine in use at a time. Beyond: `QUOTA_EXCEEDED`. */
  maxEngineStores: 4_096,
  /** Stores of a node that are open though nobody uses them. Larger: fewer are opened anew. */
  maxIdleStores: 64 as number,

  // -- kv backends -------------------------------------------------------------------------
  /** Operations of calls that share one transaction of a backend. Larger: longer waits of each. */
  maxGroupOperations: 4_096,
  /** Their keys and values; one larger call goes alone. The same. */
  maxGroupBytes: (8 * MIB) as number,
  /** Writes of a backend that wait for their turn. Beyond: `COMMIT_QUEUE_FULL`, nothing written. */
  maxWaitingWrites: 16_384,
  /** Their keys and values; the same. */
  maxWaitingWriteBytes: (64 * MIB) as number,
  /** Entries that a walk over a backend holds at a time. */
  scannedEntries: 256,
  /** Bytes of them, but for one larger entry. */
  scannedBytes: (4 * MIB) as number,
  /** Connections to a server, and calls of an object store at a time. */
  backendConnections: 8,
  /** Reads that wait for one of them. Beyond: `STORAGE_UNAVAILABLE`, nothing asked. */
  maxWaitingReads: 16_384,
  /** A server that is silent for so long is given up: `STORAGE_UNAVAILABLE`. */
  backendTimeoutMs: 10_000,
  /** Pause between two attempts to reach a server again. */
  backendReconnectMs: 100,
  /** Tries of a group of writes that other processes were quicker than. Beyond: `STORAGE_UNAVAILABLE`. */
  maxGroupTries: 64,
  /** Versions that a writer of an object store takes for itself at a time; what it leaves is skipped. */
  versionsPerBlock: 1_000_000,
  /** What marks a deleted entry in an object store goes after this; longer than any request lives. */
  tombstoneMs: 3_600_000,
  /** Keys of a NATS bucket whose order is held in memory. Beyond: `QUOTA_EXCEEDED`. */
  maxIndexedEntries: 2_000_000,

  // -- tiers -------------------------------------------------------------------------------
  /** A call of a tier that takes longer has failed, with an effect nobody knows. */
  tierCallTimeoutMs: 10_000,
  /** Operations owed to tiers, by default. Beyond: `block`, `LAG_LIMIT` or `degrade`, as was set. */
  maxOwedOperations: 100_000,
  /** Their bytes in the local store, by default; the same. */
  maxOwedBytes: (256 * MIB) as number,
  /** Pause after the first round that could not bring what is owed; doubles, with jitter. */
  drainPauseMs: 50,
  /** Longest such pause. */
  maxDrainPauseMs: 15_000,
  /** Owed operations brought together, and keys mended together. Larger: longer waits of writes. */
  drainedPerBatch: 128,
  /** Operations on the local store that may wait for the next batch. */
  lazyLocalOperations: 512,
  /** How long they wait at most. A crash within costs a second look at what is there already. */
  lazyLocalMs: 100,
  /** Keys of which is remembered what the primary has, so that a write need not read. */
  tierFactsKeys: 65_536,
  /** How far numbers go on above the last known one after a life that did not end well. */
  tierClockJump: 1_048_576,
  /** The same after the local store was put back: more than anybody writes meanwhile. */
  tierCopyJump: (2 ** 40) as number,
  /** How long a node that is opened waits for its tiered stores; then they open in the background. */
  tieredStartMs: 2_000,
  /** Differences that a check of tiers lists; the others are counted. */
  shownTierDifferences: 1_000,
  /** Entries that a restore puts together. */
  restoredPerBatch: 1_024,
  /** Their bytes. */
  restoredBytesPerBatch: (4 * MIB) as number,
  /** Characters of a line of an export. Longer: `FORMAT_INVALID`. */
  maxExportLineChars: 67_108_864,

  // -- encryption --------------------------------------------------------------------------
  /** Keys of files kept after they were derived, least recently used first out. */
  derivedKeys: 1_024,
  /** A key file, variable or the output of a key command. Longer: `INVALID_KEY`. */
  maxKeyTextBytes: (64 * KIB) as number,
  /** A command that prints keys. Longer: `KEY_COMMAND_FAILED`. */
  keyCommandTimeoutMs: 30_000,

  // -- backup ------------------------------------------------------------------------------
  /** A writer claim, a lease or a restore point in a repository; a larger one is damage. */
  maxSmallObjectBytes: (64 * 1024) as number,
  /** An archive piece: one record of the largest size, or many small ones. A larger one is damage. */
  maxArchivePieceBytes: (40 * MIB) as number,
  /** `archivePieceBytes` of a database; what is around small records may triple it. */
  maxArchivePieceSetting: (10 * MIB) as number,
  /** Between two looks for a newer writer. Longer: two nodes both acknowledge for longer. */
  fenceCheckIntervalMs: 5_000,
  /** Pause before the archive is tried again; it doubles from there, and chance shortens each. */
  archiveRetryMs: 500,
  /** Longest such pause. */
  maxArchiveRetryMs: 30_000,
  /** How long an open waits for the object store; it goes on without an answer. */
  archiveOpenTimeoutMs: 10_000,
  /** How long a close tries to archive what is left; the next start archives the rest. */
  archiveCloseTimeoutMs: 10_000,
  /** Name of a restore point, UTF-8. Longer: `INVALID_RESTORE_POINT`. */
  maxRestorePointNameBytes: 256,
  /** The manifest of a snapshot; about 300 bytes a file. A larger one is damage. */
  maxSnapshotManifestBytes: (64 * MIB) as number,
  /** Bytes of a snapshot's file in one object. Smaller: more objects, cheaper retries. */
  snapshotPartBytes: (32 * MIB) as number,
  /** Parts on their way at a time when a snapshot is made or verified. Larger: quicker, more memory. */
  snapshotParallelism: 4,
  /** Bytes of a file that a snapshot reads at a time, for each part on its way. */
  snapshotReadBytes: (256 * KIB) as number,
  /** Newest snapshots whose parts the next one looks for. More: less is uploaded after a restore. */
  snapshotsReused: 3,
  /** What a node's snapshot reads a second. Higher: it ends sooner, appends beside it wait longer. */
  snapshotBytesPerSecond: (64 * MIB) as number,
  /** First pause after a snapshot of the schedule failed; it doubles up to the interval or the next. */
  snapshotRetryMs: 60_000,
  /** Longest of these pauses: however long a store was away, a snapshot is soon made once it is back. */
  snapshotRetryMaxMs: 3_600_000,
  /** Who creates, deletes or sweeps snapshots holds the repository this long at a time. */
  repositoryLeaseMs: 60_000,
  /** Others wait this much longer: clocks differ, and calls under way end. */
  repositoryLeaseGraceMs: 30_000,
  /** Pause between two looks at a repository that somebody else holds. */
  repositoryLeaseLookMs: 1_000,
  /** A sweep leaves alone what was put less than this ago. Smaller: less waste after failures. */
  sweepGraceMs: 3_600_000,
  /** Records in one archive piece, bytes; one larger record stands alone. Bounds memory. */
  archivePieceBytes: (4 * MIB) as number,
  /** What was committed is archived at least as often: what a lost disk may cost, at most. */
  archiveIntervalMs: 5_000,
  /** Between two snapshots of a node with a backup. Lower: quicker restores, more in the store. */
  snapshotIntervalMs: 86_400_000,

  // -- administration ----------------------------------------------------------------------
  /** The body of a request of administration. Larger: `BODY_TOO_LARGE` (413). */
  maxAdminBodyBytes: (16 * KIB) as number,
  /** Requests of administration under way. Beyond: `CLIENT_QUOTA_EXCEEDED` (429). */
  maxAdminRequests: 32,
  /** Between two lines of progress in an answer. */
  adminProgressMs: 200,
  /** An answer by lines is never silent for longer: clients would give it up. */
  adminSilenceMs: 15_000,
  /** The first drill of a node comes this long after its start, if not sooner. */
  firstDrillMs: 3_600_000,

  /** Parts that a restore fetches at a time. Larger: quicker on long ways, more requests at once. */
  restoreParts: 4,

  // -- command line ------------------------------------------------------------------------
  /** Lines that `stream append --lines` sends in one request. */
  appendLines: 1_000,
  /** Bytes of lines that it sends in one request; one longer line still goes alone. */
  appendLinesBytes: (1 * MIB) as number,
  /** First pause of `stream tail` before it connects again; it doubles from there. */
  reconnectMs: 250,
  /** Longest such pause. */
  maxReconnectMs: 10_000,

  // -- expiry ------------------------------------------------------------------------------
  /** Pause between two rounds of the reaper. */
  reaperIntervalMs: 1_000,
  /** No deletes by expiry this long after a start: time to look at the clock. */
  reaperStartGraceMs: 10_000,
  /** Due streams the reaper looks at in one round; with more waiting it deletes one a round. */
  reaperLooksPerRound: 20_000,
  /** Streams the reaper deletes in one round at most. */
  reaperDeletesPerRound: 100,
  /** A wall clock that moved more than this against the monotonic one stops the reaper for a round. */
  reaperClockJumpMs: 300_000,
  /** The reaper slows to one stream a round when more than this share of all streams is due... */
  reaperBulkFraction: 0.25,
  /** ...and at least this many. */
  reaperBulkMinimum: 1_000,
  /** ...for this long: time to look at the clock. Longer: the expired take their space longer. */
  reaperBulkHoldMs: 3_600_000,
} as const;
