/** What a route of administration takes, and what of the node it asks. */
import type { WatchedWork } from '../backup/work.ts';
import type { AdminBody, BodyShape } from './admin-body.ts';
import type { AdminHost } from './admin-host.ts';

/** What was asked for, parsed. */
export interface AdminCall extends WatchedWork {
  readonly administration: AdminHost;
  /** Of a route that names one. */
  readonly id: string;
  readonly body: AdminBody;
  /** What a client sends on and on, of a route that takes it. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

interface AnyRoute {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Segments below `/v1/admin/`; `*` is an id. */
  readonly path: readonly string[];
  /** Members of its body; none when it takes no body. */
  readonly body?: BodyShape;
}

/** Answered by one object, or by what becomes of work. */
export interface ObjectRoute extends AnyRoute {
  /** Answered by lines: it may take long. */
  readonly long?: true;
  readonly status?: number;
  /** Its body is lines of an export, as long as they may be. */
  readonly takes?: 'export';
  run(call: AdminCall): Promise<object>;
}

/** Answered by lines, as many as there are; cut where the last one is missing. */
export interface LinesRoute extends AnyRoute {
  lines(call: AdminCall): AsyncIterable<string>;
}

export type AdminRoute = ObjectRoute | LinesRoute;
