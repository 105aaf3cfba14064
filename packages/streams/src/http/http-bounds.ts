/** What all requests of a node share, whoever answers them: so that it is bounded once. */
import type { Clock } from '@holdfast/core';
import { BodyBudget } from './body-budget.ts';
import { LiveReaders, type ReaderAdmission } from './live-readers.ts';
import { ResponseMemory } from './response-memory.ts';

export interface HttpBounds {
  readonly live: LiveReaders;
  readonly bodies: BodyBudget;
  readonly memory: ResponseMemory;
}

export interface HttpBoundsSettings {
  readonly maxLiveReaders: number;
  readonly maxCollectedBodyBytes: number;
  readonly maxUnsentBytes: number;
}

export function createHttpBounds(
  components: { readonly clock: Clock; readonly readerAdmission?: ReaderAdmission },
  settings: HttpBoundsSettings,
): HttpBounds {
  return {
    live: new LiveReaders(settings.maxLiveReaders, components.readerAdmission),
    bodies: new BodyBudget(settings.maxCollectedBodyBytes),
    memory: new ResponseMemory(components.clock, settings.maxUnsentBytes),
  };
}
