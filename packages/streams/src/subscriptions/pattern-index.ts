/**
 * Many patterns at once: which of them match a new path, without asking each. A tree of the
 * patterns' segments is walked along the path, in all places that match so far together, so the
 * time is bounded by places visited, not by the number of patterns.
 */
import { isReservedPath, type PathPattern } from './path-pattern.ts';

class Place<T> {
  readonly next = new Map<string, Place<T>>();
  /** Whose pattern ends here. */
  readonly values = new Set<T>();
  /** Behind `**`: it stays a place whatever comes. */
  readonly stays: boolean;

  constructor(stays: boolean) {
    this.stays = stays;
  }
}

export class PatternIndex<T> {
  readonly #root = new Place<T>(false);

  add(pattern: PathPattern, value: T): void {
    let place = this.#root;
    for (const segment of pattern.segments) {
      let next = place.next.get(segment);
      if (next === undefined) {
        next = new Place(segment === '**');
        place.next.set(segment, next);
      }
      place = next;
    }
    place.values.add(value);
  }

  delete(pattern: PathPattern, value: T): void {
    const places = [this.#root];
    for (const segment of pattern.segments) {
      const next = places.at(-1)?.next.get(segment);
      if (next === undefined) return;
      places.push(next);
    }
    places.at(-1)?.values.delete(value);
    for (let i = places.length - 1; i > 0; i--) {
      const place = places[i] as Place<T>;
      if (place.values.size > 0 || place.next.size > 0) return;
      places[i - 1]?.next.delete(pattern.segments[i - 1] as string);
    }
  }

  match(path: string): Set<T> {
    const found = new Set<T>();
    if (this.#root.next.size === 0 || isReservedPath(path)) return found;
    let places = new Set<Place<T>>();
    reach(places, this.#root);
    for (const segment of path.split('/')) {
      const following = new Set<Place<T>>();
      for (const place of places) {
        if (place.stays) reach(following, place);
        reach(following, place.next.get('*'));
        if (segment !== '*' && segment !== '**') reach(following, place.next.get(segment));
      }
      if (following.size === 0) return found;
      places = following;
    }
    for (const place of places) for (const value of place.values) found.add(value);
    return found;
  }
}

/** Adds a place, and the one behind a `**` that stands for nothing. */
function reach<T>(places: Set<Place<T>>, place: Place<T> | undefined): void {
  if (place === undefined) return;
  places.add(place);
  const any = place.next.get('**');
  if (any !== undefined) places.add(any);
}
