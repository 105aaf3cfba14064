/**
 * Names of objects in a stretch of a store's order, in either direction. Object stores list forwards
 * only: to go backwards the stretch is listed once, remembering where each page began, and then page
 * by page from the last.
 */
import type { ListedObject, ObjectStore } from '@holdfast/objects';

const PAGE = 1_000;

export interface Stretch {
  /** All names begin with this. */
  readonly prefix: string;
  /** Names behind this one. */
  readonly after: string | undefined;
  /** Names below this one. */
  readonly below: string | undefined;
}

/** Pages of what is there, in order. */
export function walkObjects(
  objects: ObjectStore,
  stretch: Stretch,
  { reverse, pageEntries }: { readonly reverse: boolean; readonly pageEntries: number },
): AsyncGenerator<readonly ListedObject[], void, undefined> {
  const limit = Math.min(PAGE, pageEntries);
  return reverse ? backwards(objects, stretch) : forwards(objects, stretch, limit);
}

async function* forwards(
  objects: ObjectStore,
  { prefix, after, below }: Stretch,
  limit: number,
): AsyncGenerator<readonly ListedObject[], void, undefined> {
  let at = after;
  do {
    const page = await objects.list({ prefix, after: at, limit });
    const within = page.objects.filter(({ key }) => below === undefined || isBelow(key, below));
    if (within.length > 0) yield within;
    if (within.length < page.objects.length) return;
    at = page.after;
  } while (at !== undefined);
}

async function* backwards(
  objects: ObjectStore,
  stretch: Stretch,
): AsyncGenerator<readonly ListedObject[], void, undefined> {
  const starts: (string | undefined)[] = [stretch.after];
  for await (const page of forwards(objects, stretch, PAGE)) starts.push(page.at(-1)?.key);
  // The last of a page is where the next one begins, which is behind it.
  let { below } = stretch;
  for (const after of starts.toReversed()) {
    const found: ListedObject[] = [];
    for await (const page of forwards(objects, { ...stretch, after, below }, PAGE)) {
      found.push(...page);
    }
    if (found.length > 0) yield found.toReversed();
    below = found[0]?.key ?? below;
  }
}

/** Names are ASCII: the order of strings is that of bytes. */
function isBelow(name: string, other: string): boolean {
  return name < other;
}
