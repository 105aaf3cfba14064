/**
 * One subscription in memory.
 *
 * Invariants
 * 1. What is durable (`state`, `rows`) changes only when an operation is applied or a row loaded.
 * 2. `links` is derived from `rows` and the streams there are (`LinkBook`), and so is `pending`:
 *    the links whose stream has more than was acknowledged.
 */
import type { ShardId } from '@holdfast/core';
import { comparePositions, type Position } from '../position.ts';
import { PathPattern } from './path-pattern.ts';
import {
  type LinkRow,
  NEW_STATE,
  SUBSCRIPTION_RECORDS,
  type SubscriptionState,
  type UpdateOperation,
} from './subscription-operations.ts';
import type {
  SubscriptionConfig,
  SubscriptionInfo,
  SubscriptionSummary,
  WakeStream,
} from './subscription-store.ts';

/** Rows of links that are over, forgotten along with one update. */
const MAX_FORGOTTEN_ROWS = 1_000;

export interface Link {
  readonly subscription: Subscription;
  readonly path: string;
  explicit: boolean;
  /** 0 while there is no stream. */
  streamId: number;
  acked: Position;
  tail: Position;
  /** Another subscription's link to the same path. */
  nextAtPath: Link | undefined;
}

export interface SubscriptionOrigin {
  readonly id: string;
  readonly incarnation: string;
  readonly createdAtMs: number;
  readonly firstStreamId: number;
  readonly config: SubscriptionConfig;
}

export class Subscription {
  readonly id: string;
  readonly shard: ShardId;
  readonly incarnation: string;
  readonly createdAtMs: number;
  readonly firstStreamId: number;
  readonly config: SubscriptionConfig;
  readonly pattern: PathPattern | undefined;

  state: SubscriptionState = NEW_STATE;
  readonly rows: Map<string, LinkRow> = new Map();
  removed = false;

  readonly links: Map<string, Link> = new Map();
  readonly pending: Set<Link> = new Set();
  /** Rows whose link is over; they go with the next update. */
  readonly staleRows: Set<string> = new Set();
  /** Matching streams that found no place. */
  unlinkedStreams = 0;
  /** Rises whenever a linked stream got more. */
  work = 0;
  /** What `work` was at the last attempt of this life to hand it out. */
  workAtAttempt: number | undefined;
  /** The same when it was given up. Absent after a start: any work is new. */
  workAtParking: number | undefined;

  constructor(origin: SubscriptionOrigin, shard: ShardId) {
    this.id = origin.id;
    this.shard = shard;
    this.incarnation = origin.incarnation;
    this.createdAtMs = origin.createdAtMs;
    this.firstStreamId = origin.firstStreamId;
    this.config = origin.config;
    const { pattern } = origin.config;
    this.pattern = pattern === undefined ? undefined : PathPattern.parse(pattern);
  }

  /** Its own wake stream never does: each wake would be the cause of the next. */
  matches(path: string): boolean {
    return path !== this.config.wakeStream && this.pattern?.matches(path) === true;
  }

  /** There is something to wake for. */
  get hasNewWork(): boolean {
    if (this.pending.size === 0) return false;
    return !this.state.parked || this.work !== this.workAtParking;
  }

  /** Every link in the order of paths, or as many as fit, those with pending work first. */
  snapshot(limit: number): WakeStream[] {
    const links: Link[] = [];
    if (this.links.size <= limit) {
      links.push(...this.links.values());
      links.sort(byPath);
    } else {
      for (const link of this.pending) {
        if (links.length >= limit) break;
        links.push(link);
      }
    }
    return links.map((link) => ({
      path: link.path,
      linkType: linkTypeOf(link),
      acked: link.acked,
      tail: link.tail,
      pending: isPending(link),
    }));
  }

  info(): SubscriptionInfo {
    const links = [...this.links.values()].sort(byPath);
    return {
      ...this.summary(),
      links: links.map((link) => ({
        path: link.path,
        linkType: linkTypeOf(link),
        acked: link.acked,
      })),
    };
  }

  summary(): SubscriptionSummary {
    const { state, unlinkedStreams } = this;
    return {
      id: this.id,
      config: this.config,
      createdAtMs: this.createdAtMs,
      linkCount: this.links.size,
      status: state.failedAttempts > 0 ? 'failed' : 'active',
      generation: state.generation,
      failedAttempts: state.failedAttempts,
      parked: state.parked,
      ...(state.nextAttemptAtMs === undefined ? {} : { nextAttemptAtMs: state.nextAttemptAtMs }),
      ...(state.wake?.holder === undefined ? {} : { holder: state.wake.holder }),
      ...(unlinkedStreams === 0 ? {} : { unlinkedStreams }),
    };
  }

  /** The operation that brings it there; forgets rows that are over on the way. */
  update(
    state: SubscriptionState,
    links: readonly LinkRow[] = [],
    unlinked: readonly string[] = [],
  ): UpdateOperation {
    const forgotten = [...unlinked];
    for (const path of this.staleRows) {
      if (forgotten.length >= MAX_FORGOTTEN_ROWS) break;
      if (!links.some((link) => link.path === path)) forgotten.push(path);
    }
    return {
      type: SUBSCRIPTION_RECORDS.update,
      shard: this.shard,
      id: this.id,
      incarnation: this.incarnation,
      state,
      links,
      unlinked: forgotten,
    };
  }
}

export function isPending(link: Link): boolean {
  return comparePositions(link.tail, link.acked) > 0;
}

export function rowOf(link: Link, acked: Position = link.acked): LinkRow {
  return { path: link.path, explicit: link.explicit, streamId: link.streamId, acked };
}

function linkTypeOf(link: Link): 'explicit' | 'glob' {
  return link.explicit ? 'explicit' : 'glob';
}

function byPath(a: Link, b: Link): number {
  return a.path < b.path ? -1 : 1;
}
