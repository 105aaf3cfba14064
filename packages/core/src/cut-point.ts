/**
 * Named cut points: places where a crash would hurt most. Free when nothing listens.
 * A test arms them to throw, delay or kill; it also counts which ones were reached.
 */
type CutListener = (name: string) => void | Promise<void>;

let listener: CutListener | undefined;

/** Marks a place between two effects. `await` it only where the caller may yield. */
export function cut(name: string): void | Promise<void> {
  return listener === undefined ? undefined : listener(name);
}

/** For tests: hears every cut point reached from now on; returns what takes it off again. */
export function onCut(hear: CutListener): () => void {
  listener = hear;
  return () => {
    if (listener === hear) listener = undefined;
  };
}
