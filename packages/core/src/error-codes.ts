/**
 * The catalogue of error codes. A code says what happened and is part of the public
 * contract (semver); its kind says what the caller does about it.
 *
 * Adding a code: one line here, with the kind that fits the caller's next step, under a comment
 * `What it means. Do: what to do.`; then `npm run errors`, which writes docs/ERRORS.md from
 * here; and a test in which the code is produced, or `npm test` fails (a code for later says
 * `// reserved: <for what>`). That every value is an `ErrorKind` is checked where
 * `HoldfastError` assigns it.
 */

/** What the caller does: see the table in ARCHITECTURE.md, "Errors". */
export type ErrorKind =
  | 'invalid' // fix the request or the settings
  | 'denied' // get a credential
  | 'missing' // stop, or create it
  | 'conflict' // re-read, decide again
  | 'fenced' // stop: a newer epoch owns it
  | 'limit' // slow down or shrink
  | 'unavailable' // retry with back-off
  | 'corrupt' // stop: an operator has to look
  | 'closed' // reopen, or it was your own abort
  | 'internal'; // a bug: report it

export const ERROR_CODES = {
  // invalid
  /**
   * A setting of the node, the log, the database or the streams is not usable, or does not fit
   * the directory that is opened. Do: correct the setting that the message names.
   */
  INVALID_SETTINGS: 'invalid',
  /**
   * The offset is not one that Holdfast gave out, or does not stand between two messages of this
   * stream. Do: read again from `-1`, or from an offset that came from a response of this stream.
   */
  INVALID_OFFSET: 'invalid',
  /**
   * A header is missing, malformed, repeated or too long. Do: correct the header that the message
   * names.
   */
  INVALID_HEADER: 'invalid',
  /**
   * A query parameter is malformed, repeated, or does not go with the others. Do: correct the
   * parameter that the message names.
   */
  INVALID_QUERY: 'invalid',
  /**
   * The path is not the name of a stream: an empty or a dot segment, a bad escape, a forbidden
   * character, too many segments. Do: choose another path.
   */
  INVALID_PATH: 'invalid',
  /**
   * The body of an append to a JSON stream is not JSON, is nested too deeply, or is no text in
   * UTF-8. Do: correct the body; nothing of it was stored.
   */
  INVALID_JSON: 'invalid',
  /**
   * An append has no message, and does not close the stream. Do: send at least one message, or
   * `Stream-Closed: true`.
   */
  EMPTY_BODY: 'invalid',
  /**
   * `Stream-TTL` or `Stream-Expires-At` is malformed, out of range, or both are given. Do:
   * correct the header.
   */
  INVALID_TTL: 'invalid',
  /**
   * The three producer headers are incomplete or malformed, or a new epoch does not begin with
   * sequence 0. Do: correct the headers.
   */
  INVALID_PRODUCER: 'invalid',
  /**
   * A fork is to begin behind the end of its source. Do: fork at or before the tail of the
   * source.
   */
  FORK_OFFSET_BEYOND_TAIL: 'invalid',
  /**
   * The request body has a content encoding that the node does not decode. Do: send the body
   * without `Content-Encoding`.
   */
  UNSUPPORTED_ENCODING: 'invalid',
  /** The path exists, the method does not. Do: use one of the methods in `Allow`. */
  METHOD_NOT_ALLOWED: 'invalid',
  /**
   * The `Host` of the request is not one that the node answers to (a guard against DNS
   * rebinding). Do: use an allowed name, or add the name to the allowed hosts.
   */
  HOST_NOT_ALLOWED: 'denied',
  /**
   * A browser page of this origin may not change anything here. Do: add the origin to the allowed
   * origins.
   */
  ORIGIN_NOT_ALLOWED: 'denied',
  /** The request did not arrive whole in the time it has. Do: send it again, faster. */
  REQUEST_TIMEOUT: 'invalid',
  /**
   * The request asks in `Expect` for something other than `100-continue`. Do: leave the header out.
   */
  EXPECTATION_FAILED: 'invalid',
  /**
   * The body of a subscription request is malformed or says things that exclude each other. Do:
   * correct the member that the message names.
   */
  INVALID_SUBSCRIPTION: 'invalid',
  /**
   * The address of a webhook is not one that the node may call: a scheme, a port or a network
   * that the settings do not allow. Do: use another address, or allow this one in the settings.
   */
  WEBHOOK_URL_REJECTED: 'invalid',
  /**
   * The request needs a token and has none. Do: send `Authorization: Bearer` with the token of
   * the wake or the claim.
   */
  TOKEN_REQUIRED: 'denied',
  /**
   * The token is not the one of this subscription, wake or claim, or it has expired. Do: wait for
   * the next wake, or claim again.
   */
  TOKEN_INVALID: 'denied',
  /**
   * The key of an object is empty, too long, or has a segment that no store may hold. Do: correct
   * the key.
   */
  INVALID_OBJECT_KEY: 'invalid',
  /**
   * The name of a restore point is empty, too long, or holds control characters. Do: choose another
   * name.
   */
  INVALID_RESTORE_POINT: 'invalid',
  /** The range begins at or behind the end of the object. Do: read within its size. */
  INVALID_RANGE: 'invalid',
  /**
   * The source of an object gave another number of bytes than it announced; nothing was stored.
   * Do: correct the length, or find out why the source ended early.
   */
  OBJECT_LENGTH_MISMATCH: 'invalid',
  /**
   * The object store does not do what was asked of it, such as a conditional put. Do: use what its
   * capabilities name, or another store.
   */
  OBJECT_STORE_UNSUPPORTED: 'invalid',
  /**
   * The key of an entry is empty, too long, not well-formed text, or not one that its namespace
   * takes. Do: correct the key.
   */
  INVALID_ENTRY_KEY: 'invalid',
  /**
   * The token of a page is not one of this store, order, direction and prefix. Do: begin with the
   * first page.
   */
  INVALID_PAGE_TOKEN: 'invalid',
  /**
   * The key-value store does not do what was asked of it. Do: use what its capabilities name, or
   * another store.
   */
  KV_UNSUPPORTED: 'invalid',
  /**
   * The package that speaks to this kind of store is not installed. Do: install the one that the
   * message names.
   */
  DRIVER_MISSING: 'invalid',
  /**
   * The object store refuses the credentials, or what they may do. Do: correct the credentials,
   * their rights, or the clock of this machine.
   */
  ACCESS_DENIED: 'denied',
  /**
   * Routes of administration answer only to programs on the node's own machine, which say so with
   * the header `holdfast-admin: 1`. Do: use the `holdfast` command there.
   */
  ADMIN_REFUSED: 'denied',
  /**
   * What was given as an encryption key is not one: not 32 bytes, not written as `hfk1:` and
   * base64url, the same one twice, or a key file that others may read. Do: correct the key that the
   * message names.
   */
  INVALID_KEY: 'invalid',
  /**
   * A key was given, and the data directory is not encrypted; nothing was touched. Do: open it
   * without a key, or restore its backup into a new directory with one.
   */
  KEY_NOT_EXPECTED: 'invalid',
  /**
   * The schema of a signed record has too many subkeys, members or writers, or none, or its bytes
   * are no schema. Do: correct what the message names.
   */
  INVALID_SCHEMA: 'invalid',
  /**
   * A text is not the key of a signed record, or no public or secret key. Do: copy it again, whole.
   */
  INVALID_RECORD_KEY: 'invalid',
  /** The signed record has no such subkey. Do: choose one that its schema has. */
  INVALID_SUBKEY: 'invalid',
  /**
   * A peer sent what is no message, or no answer to the question. Do: nothing: the peer is left out
   * of the call. If it happens with all of them, they run another release.
   */
  PEER_MESSAGE_INVALID: 'invalid',
  /** The data directory is encrypted, and no key was given; nothing was touched. Do: give its key. */
  KEY_REQUIRED: 'denied',
  /**
   * None of the keys given is one of the data directory; nothing was touched. Do: give the key that
   * it was made with or rotated to.
   */
  KEY_WRONG: 'denied',
  /**
   * Stored bytes are encrypted with a key that was not given beside the others; they are whole. Do:
   * give that key too, as long as `holdfast key status` shows bytes under it.
   */
  KEY_MISSING: 'denied',
  /**
   * A signature is not of whom it claims to be, or is for something else. Do: nothing: what was
   * signed is ignored.
   */
  SIGNATURE_REJECTED: 'denied',
  /**
   * The schema gives this subkey to another writer, or no secret key was given to write with. Do:
   * open the record with the keys of the writer.
   */
  NOT_A_WRITER: 'denied',
  /**
   * The key of the record has no secret part, or a wrong one: the value cannot be decrypted. Do: use
   * the whole key, as its creator handed it out.
   */
  RECORD_SECRET_WRONG: 'denied',

  // missing
  /** There is no stream at this path, or it has expired. Do: create it, or stop. */
  STREAM_NOT_FOUND: 'missing',
  /**
   * The stream was deleted or has expired, while forks of it still live. Do: stop; the path is
   * free again when the last fork is gone.
   */
  STREAM_GONE: 'missing',
  /** This node has no backup. Do: start it with one: `holdfast serve DIR --backup PLACE`. */
  BACKUP_NOT_CONFIGURED: 'missing',
  /**
   * There are no tiers for this store in the settings of the node. Do: name one that
   * `holdfast tier status` shows, or give its tiers (`--tiers`).
   */
  TIERS_NOT_CONFIGURED: 'missing',
  /** The repository holds no snapshot of this id. Do: list them. */
  SNAPSHOT_NOT_FOUND: 'missing',
  /** Nothing is served at this path. Do: correct the path. */
  ROUTE_NOT_FOUND: 'missing',
  /** There is no subscription of this name. Do: create it, or stop. */
  SUBSCRIPTION_NOT_FOUND: 'missing',
  /**
   * There is no repository of a database at this place, or none of the id that was named. Do: check
   * the place of the backup; the message names what is there.
   */
  REPOSITORY_NOT_FOUND: 'missing',
  /**
   * The repository does not reach the point that was asked for: it lies before the first snapshot,
   * or behind what is archived. Do: choose a point within the range that the message names.
   */
  RESTORE_TARGET_UNREACHABLE: 'missing',
  /**
   * No restore point has this name in the history that is restored. Do: correct the name; the
   * message names near ones.
   */
  RESTORE_POINT_NOT_FOUND: 'missing',
  /** The object store said that there is no object of this key. Do: stop, or put it. */
  OBJECT_NOT_FOUND: 'missing',
  /**
   * Neither this peer nor the ones nearest to its key hold the signed record. Do: check the key; ask
   * its owner to be there.
   */
  RECORD_NOT_FOUND: 'missing',
  /** The transaction over signed records ended: by itself, or for lack of time. Do: begin it anew. */
  TRANSACTION_GONE: 'missing',
  /**
   * The store has no entry of this key, or it has expired. Do: put it, or stop.
   */
  ENTRY_NOT_FOUND: 'missing',
  /**
   * The bytes at this offset were given up by retention. Do: read from the first offset that is
   * kept.
   */
  OFFSET_TRIMMED: 'missing', // reserved: retention

  /**
   * The changes behind this number are not kept any more. Do: ask for the last change, read what is
   * there, and watch from that number.
   */
  CHANGES_TRIMMED: 'missing',

  // conflict
  /**
   * There is a stream at this path already, made with other properties. Do: use it as it is, or
   * choose another path.
   */
  STREAM_EXISTS: 'conflict',
  /**
   * The stream is closed: nothing can be appended. Do: stop; `Stream-Next-Offset` is its final
   * tail.
   */
  STREAM_CLOSED: 'conflict',
  /**
   * The content type of the append or the fork is not that of the stream. Do: send the content
   * type of the stream.
   */
  CONTENT_TYPE_MISMATCH: 'conflict',
  /**
   * `Stream-Seq` is not above the last one of the stream: another writer was there before. Do:
   * read what was appended, then decide.
   */
  STREAM_SEQ_CONFLICT: 'conflict',
  /** A producer left sequence numbers out. Do: send again from `Producer-Expected-Seq`. */
  PRODUCER_SEQ_GAP: 'conflict',
  /**
   * The source of a fork was deleted or has expired, while other forks of it still live. Do: fork
   * another stream.
   */
  FORK_SOURCE_GONE: 'conflict',
  /**
   * The stream at this path was deleted, but its bytes are kept for forks. Do: choose another
   * path, or delete the forks first.
   */
  PATH_BLOCKED: 'conflict',
  /**
   * There is a subscription of this name already, made with another configuration. Do: delete it
   * first, or choose another name.
   */
  SUBSCRIPTION_EXISTS: 'conflict',
  /**
   * The stream that a pull-wake subscription writes its wakes to does not exist. Do: create that
   * stream first.
   */
  WAKE_STREAM_NOT_FOUND: 'conflict',
  /**
   * Another worker holds the lease of this subscription. Do: wait for its end, or for the next
   * wake.
   */
  ALREADY_CLAIMED: 'conflict',
  /** There is nothing to do for this subscription. Do: wait for the next wake. */
  NO_PENDING_WORK: 'conflict',
  /**
   * The object or entry is there although it must not be, or is not the one that was expected. Do:
   * read it again and decide.
   */
  PRECONDITION_FAILED: 'conflict',
  /**
   * A key cannot be retired: it is the active one, or bytes are left that nothing else decrypts. Do:
   * rotate first, and wait until `holdfast key status` shows nothing under it.
   */
  KEY_IN_USE: 'conflict',
  /**
   * The stores given as tiers are not those of before, or one of them knows less than the other
   * does: what this would cost is not done by itself. Do: give the stores in their parts; or restore
   * the primary, repair the backup, or force it, as the message says.
   */
  TIER_MISMATCH: 'conflict',
  /**
   * The entries of the tiers are placed by other rules than those given. Do: give the rules of
   * before, or let the entries be moved: `onRulesChange: 'migrate'`.
   */
  TIER_RULES_CHANGED: 'conflict',
  /**
   * A database or a store is restored only to where nothing is: there is something. Do: name another
   * directory or store; nothing was changed.
   */
  RESTORE_TARGET_NOT_EMPTY: 'conflict',
  /** The signed record is there already, with this owner and schema. Do: open it. */
  RECORD_EXISTS: 'conflict',
  /** The signed record is not open here. Do: open it first. */
  RECORD_NOT_OPEN: 'conflict',

  // fenced
  /**
   * A newer epoch of this producer has written. Do: stop, or begin a higher epoch with sequence
   * 0.
   */
  PRODUCER_FENCED: 'fenced',
  /**
   * The wake, the lease or the writer of a key-value store is of an older generation. Do: stop:
   * somebody else goes on with this work.
   */
  FENCED: 'fenced',
  /**
   * Another node writes this database now: it claimed the repository later, by a restore or with a
   * copy of the directory. What is here and was not archived stays in the directory. Do: stop this
   * node; find out who took over. To go on here, restore, or open with the option to take over.
   */
  WRITER_FENCED: 'fenced',
  /** Another process has this directory open. Do: stop that process, or use another directory. */
  DIRECTORY_LOCKED: 'fenced',

  // limit
  /** One record, row or transaction is above its bound. Do: write less at once. */
  RECORD_TOO_LARGE: 'limit',
  /**
   * The request body, or the number of messages in it, is above its bound. Do: send it in several
   * requests.
   */
  BODY_TOO_LARGE: 'limit',
  /** The request line or the path is above its bound. Do: use a shorter path. */
  URL_TOO_LONG: 'limit',
  /**
   * The headers of the request together are above their bound. Do: send fewer or shorter headers.
   */
  HEADERS_TOO_LARGE: 'limit',
  /** The append would take the stream beyond what positions can count. Do: begin another stream. */
  STREAM_TOO_LARGE: 'limit',
  /**
   * A count has reached its bound: streams, producers of a stream, or links of a fork. Do: delete
   * what is not needed, or raise the bound.
   */
  QUOTA_EXCEEDED: 'limit',
  /**
   * As many live readers are connected as the node serves. Do: try again later, or read without
   * `live`.
   */
  TOO_MANY_READERS: 'limit',
  /**
   * This client sends more requests or bytes a second than one may. Do: wait as long as
   * `Retry-After` says; or raise the rates of the node.
   */
  RATE_LIMITED: 'limit',
  /**
   * This client has as many connections, live readers or requests under way as one may, or sends
   * too many requests ahead of their answers. Do: end some; or raise the limit of the node.
   */
  CLIENT_QUOTA_EXCEEDED: 'limit',
  /**
   * The disk has no more room than the reserve that deletes and checkpoints need. Do: make room;
   * appends work again by themselves.
   */
  DISK_FULL: 'limit',
  /** The object is larger than the store takes. Do: divide it. */
  OBJECT_TOO_LARGE: 'limit',
  /** The subkey was written with the highest sequence number there is. Do: use another subkey. */
  SEQUENCE_EXHAUSTED: 'limit',

  // unavailable
  /**
   * More is waiting for the disk than the node keeps in memory. Do: try again after
   * `Retry-After`.
   */
  COMMIT_QUEUE_FULL: 'unavailable',
  /**
   * Request bodies that are still arriving fill the memory they may take. Do: try again after
   * `Retry-After`.
   */
  BODY_MEMORY_FULL: 'unavailable',
  /**
   * The memory for responses that clients are slow to take is in use. Do: try again after a pause,
   * as `Retry-After` says.
   */
  RESPONSE_MEMORY_FULL: 'unavailable',
  /**
   * A call of the file system or of the object store failed. Do: look at the cause in the log of
   * the node; if `effect` is `unknown`, read back before trying again.
   */
  STORAGE_UNAVAILABLE: 'unavailable',
  /**
   * A write or sync of the log failed earlier: this process writes no more. Do: restart the node;
   * it recovers from disk.
   */
  NODE_FAILED: 'unavailable',
  /**
   * A webhook did not answer, or not with success. Do: nothing: the node tries again by its own
   * plan.
   */
  WEBHOOK_FAILED: 'unavailable',
  /**
   * The command that prints the keys of a node failed, or took too long. Do: run it by hand, as the
   * user of the node, and see what it says.
   */
  KEY_COMMAND_FAILED: 'unavailable',
  /**
   * Somebody else creates, deletes or sweeps snapshots of this repository now, or it was claimed anew
   * while a snapshot was made. Do: try again when that is done; after a crash, when its lease has
   * ended.
   */
  REPOSITORY_BUSY: 'unavailable',
  /**
   * A tiered store is being restored, promoted, migrated or taken over. Do: try again when that is
   * done; `holdfast tier status` shows it.
   */
  TIER_BUSY: 'unavailable',
  /**
   * Some tiers of a key-value store have a write, others not yet: `details` names each as `done` or
   * `queued`. What is queued will be there. Do: nothing; to know it done, read it back later, or
   * write again.
   */
  PARTIAL_WRITE: 'unavailable',
  /**
   * A tier of a key-value store is owed more than the bounds allow; nothing was written. Do: see
   * that the tier answers; try again later.
   */
  LAG_LIMIT: 'unavailable',
  /** The peer did not answer in time, or cannot be reached. Do: try again later; others may answer. */
  PEER_UNREACHABLE: 'unavailable',
  /** Too few peers were there for the call. Do: try again; with `allowOffline` a set waits for them. */
  PEERS_UNAVAILABLE: 'unavailable',
  /** The signed record is in a transaction. Do: try again when that is over. */
  RECORD_LOCKED: 'unavailable',
  /** The node is stopping. Do: connect again, here later or elsewhere now. */
  DRAINING: 'unavailable',
  // corrupt
  /**
   * Stored bytes are not the ones that were written, or not in the place they were written for.
   * Do: run `holdfast verify`; restore what it names.
   */
  CHECKSUM_MISMATCH: 'corrupt',
  /**
   * Stored bytes have a right checksum and make no sense: a bug, or deliberate change. Do: run
   * `holdfast verify`; report it.
   */
  FORMAT_INVALID: 'corrupt',
  /**
   * Stored bytes are of a format version that this release does not know. Do: use the release
   * that wrote them, or a newer one.
   */
  FORMAT_UNSUPPORTED: 'corrupt',
  /**
   * Records of the log are missing in the middle, or the log and the state are not of one copy.
   * Do: restore log and state together.
   */
  LSN_GAP: 'corrupt',
  /**
   * A file that the directory must hold is not there. Do: put back the file that the message
   * names.
   */
  FILE_MISSING: 'corrupt',
  /**
   * The archive lacks records between the snapshot and the point that was asked for. Do: restore to
   * the LSN before the first missing one, which the message names, or from a later snapshot.
   */
  RESTORE_GAP: 'corrupt',
  /**
   * The archive holds records that this directory lacks: it is an older copy, or its disk lost what
   * it had confirmed. Do: restore; or open with the option to take over, which gives those records
   * up.
   */
  ARCHIVE_AHEAD: 'corrupt',
  /**
   * The archive holds other records than this directory under the same LSNs: two copies of one
   * directory were written. Do: find out which one is right; restore, or open the right one with the
   * option to take over.
   */
  ARCHIVE_DIVERGED: 'corrupt',
  /**
   * The repository is older than what this directory knows of it: it was rolled back, emptied, or
   * is another one. Do: check the place of the backup; to go on with it as it is, open with the
   * option to accept that, and make a snapshot.
   */
  REPOSITORY_ROLLED_BACK: 'corrupt',
  /**
   * The log holds a record that no engine of this release knows. Do: use the release that wrote
   * it, or a newer one.
   */
  UNKNOWN_RECORD_TYPE: 'corrupt',

  // closed
  /** What was called is closed already. Do: open it again. */
  CLOSED: 'closed',
  /** The caller ended the call by its own signal. Do: nothing; call again if it was not meant. */
  ABORTED: 'closed',

  // internal
  /**
   * Something is so that must never be: Holdfast stopped before it could do harm. Do: report it,
   * with the message.
   */
  INVARIANT_VIOLATED: 'internal',
  /** An error that nobody foresaw. Do: report it, with the log of the node. */
  INTERNAL_ERROR: 'internal',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;
