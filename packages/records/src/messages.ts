/**
 * What peers say to each other about records: questions, the answers to them, and statements, which
 * have no answer. `message-codec.ts` knows their bytes (FORMAT.md, "Signed records"), `rpc.ts` moves
 * them.
 *
 * What holds for all of them
 * 1. Nothing in a message is believed because of who sent it. Signatures of descriptors and values
 *    are checked by whoever receives them (`verifyDescriptor`, `verifyValue`) before anything of
 *    theirs changes anything; sequence numbers without a value are hints.
 * 2. Times are durations in ms: clocks of peers need not agree.
 * 3. Every answer about a place names peers that the answering one knows to be nearer to it, at most
 *    20. One that names others than nearer ones is no answer.
 * 4. `far`: the answering peer knows `consensusWidth` nearer ones, so it is not its business.
 *    Everything else there is to say is left out.
 * 5. `invalid`: the question was one that no peer asks that keeps to the contract. Nothing changed.
 * 6. An answer that the asked question does not allow (another type, another subkey, sequence
 *    numbers for other subkeys than were asked) is no answer: `PEER_MESSAGE_INVALID`.
 */
import type { Coordinate, PeerId } from './coordinate.ts';
import type { MemberProof } from './member-proof.ts';
import type { RecordDescriptor } from './record-descriptor.ts';
import type { RecordId } from './record-key.ts';
import type { Sequence } from './sequence.ts';
import type { SignedValue } from './signed-value.ts';
import type { SubkeySet } from './subkey-set.ts';

declare const brand: unique symbol;
/** 16 hex digits, drawn by the peer that keeps the watch; never all zero. */
export type WatchId = string & { readonly [brand]: 'WatchId' };
/** 16 hex digits, drawn by the peer that keeps the transaction; never all zero. */
export type TransactionId = string & { readonly [brand]: 'TransactionId' };

/** A peer, and where it can be reached; the addresses are those of its network. */
export interface PeerInfo {
  readonly id: PeerId;
  readonly addresses: readonly string[];
}

/** By subkey of the set that was asked for, rising; `undefined`: never written. */
export type SequenceList = readonly (Sequence | undefined)[];

// -- questions ---------------------------------------------------------------------------------

export interface GetQuestion {
  readonly type: 'get';
  readonly record: RecordId;
  readonly subkey: number;
  readonly wantDescriptor: boolean;
}

export interface SetQuestion {
  readonly type: 'set';
  readonly record: RecordId;
  readonly subkey: number;
  readonly value: SignedValue;
  /** Left out where the peer is thought to have it. */
  readonly descriptor: RecordDescriptor | undefined;
}

export interface InspectQuestion {
  readonly type: 'inspect';
  readonly record: RecordId;
  /** Cut to those of the record by whoever answers. */
  readonly subkeys: SubkeySet;
  readonly wantDescriptor: boolean;
}

export interface WatchQuestion {
  readonly type: 'watch';
  readonly record: RecordId;
  readonly subkeys: SubkeySet;
  /** From now on; 0: as long as the peer allows. */
  readonly durationMs: number;
  /** Messages until it ends; 0 ends it now; `undefined`: until its time is over. */
  readonly count: number | undefined;
  /** Of a watch to change or to end; `undefined`: a new one. */
  readonly watch: WatchId | undefined;
  readonly proof: MemberProof | undefined;
}

export interface BeginQuestion {
  readonly type: 'begin';
  readonly record: RecordId;
  readonly descriptor: RecordDescriptor | undefined;
  readonly wantDescriptor: boolean;
  readonly proof: MemberProof | undefined;
}

/**
 * `get` reads the state at the beginning; `keep` says that the asking peer is there still; `end` is
 * the wish to commit, after which only `commit`, `rollback`, `get` and `keep` come.
 */
export type TransactionCommand =
  | { readonly kind: 'get'; readonly subkey: number }
  | { readonly kind: 'set'; readonly subkey: number; readonly value: SignedValue }
  | { readonly kind: 'keep' | 'end' | 'commit' | 'rollback' };

export interface CommandQuestion {
  readonly type: 'command';
  readonly record: RecordId;
  readonly transaction: TransactionId;
  readonly command: TransactionCommand;
}

/** Peers near a place, also for a peer that has just come. */
export interface FindQuestion {
  readonly type: 'find';
  readonly target: Coordinate;
}

/** Are you there? */
export interface PingQuestion {
  readonly type: 'ping';
}

export type Question =
  | GetQuestion
  | SetQuestion
  | InspectQuestion
  | WatchQuestion
  | BeginQuestion
  | CommandQuestion
  | FindQuestion
  | PingQuestion;

// -- answers -----------------------------------------------------------------------------------

interface Near {
  /** I3 of this file. */
  readonly peers: readonly PeerInfo[];
}

export interface FarAnswer<Type extends Question['type']> extends Near {
  readonly type: Type;
  readonly status: 'far';
}

/** I5 of this file. */
export interface InvalidAnswer {
  readonly type: 'invalid';
}

export type GetAnswer =
  | FarAnswer<'get'>
  | (Near & {
      readonly type: 'get';
      readonly status: 'held';
      /** `undefined`: this peer has none. */
      readonly value: SignedValue | undefined;
      /** If it was wanted and is known; there is no value without a descriptor. */
      readonly descriptor: RecordDescriptor | undefined;
    });

export type SetAnswer =
  | FarAnswer<'set'>
  | (Near & {
      readonly type: 'set';
      /**
       * `stored`: it is there, now or since before. `descriptor-wanted`: send it once more with
       * that. `locked`: a transaction has ended and is about to commit; later. `full`: no more of
       * this peer's.
       */
      readonly status: 'stored' | 'descriptor-wanted' | 'locked' | 'full';
    })
  | (Near & {
      readonly type: 'set';
      readonly status: 'superseded';
      /** The one that is kept: it wins over the one that was sent (`compareValues`). */
      readonly value: SignedValue;
    })
  | (Near & {
      readonly type: 'set';
      /** An erased or evicted value was above it; the peer has no more than its number. */
      readonly status: 'outdated';
      readonly floor: Sequence;
    });

export type InspectAnswer =
  | FarAnswer<'inspect'>
  | (Near & {
      readonly type: 'inspect';
      readonly status: 'held';
      /** `undefined`: the record is unknown here. */
      readonly sequences: SequenceList | undefined;
      readonly descriptor: RecordDescriptor | undefined;
    });

export type WatchAnswer =
  | FarAnswer<'watch'>
  | (Near & {
      readonly type: 'watch';
      readonly status: 'active';
      readonly watch: WatchId;
      readonly durationMs: number;
    })
  | (Near & {
      readonly type: 'watch';
      /** `refused`: the record is unknown here, or there are too many watches. */
      readonly status: 'refused' | 'ended';
    });

export type BeginAnswer =
  | FarAnswer<'begin'>
  | (Near & {
      readonly type: 'begin';
      readonly status: 'begun';
      readonly transaction: TransactionId;
      /** Until it ends by itself, if nothing is heard. */
      readonly durationMs: number;
      /** Of all subkeys. */
      readonly sequences: SequenceList;
      readonly descriptor: RecordDescriptor | undefined;
    })
  | (Near & { readonly type: 'begin'; readonly status: 'descriptor-wanted' | 'busy' });

export type CommandAnswer =
  | {
      readonly type: 'command';
      readonly status: 'done';
      /** 0: it is over. */
      readonly durationMs: number;
      /** Of `get` what is there; of `set` the one that wins over what was sent. */
      readonly value: SignedValue | undefined;
    }
  | {
      readonly type: 'command';
      /** Of `set`: a value that is gone was above it, as in `SetAnswer`; the write is withdrawn. */
      readonly status: 'outdated';
      readonly durationMs: number;
      readonly floor: Sequence;
    }
  | {
      readonly type: 'command';
      /** It never was, or ended, or lost against another, or is of another peer. */
      readonly status: 'gone';
    };

export interface FindAnswer extends Near {
  readonly type: 'find';
}

export interface PingAnswer {
  readonly type: 'ping';
}

export type Answer =
  | GetAnswer
  | SetAnswer
  | InspectAnswer
  | WatchAnswer
  | BeginAnswer
  | CommandAnswer
  | FindAnswer
  | PingAnswer;

/** The answers that a question allows; `InvalidAnswer` is turned into an error by the `Rpc`. */
export type AnswerTo<Asked extends Question> = Extract<Answer, { readonly type: Asked['type'] }>;

// -- statements --------------------------------------------------------------------------------

/** To the peer that watches, over the network's own connection to it. */
export interface ChangeStatement {
  readonly type: 'changed';
  readonly record: RecordId;
  readonly watch: WatchId;
  /** Empty: the watch has ended. */
  readonly subkeys: SubkeySet;
  /** Messages that are left; `undefined`: no bound was set. */
  readonly count: number | undefined;
  /** Of the first of `subkeys`, where it fits. */
  readonly value: SignedValue | undefined;
}

export type Statement = ChangeStatement;
