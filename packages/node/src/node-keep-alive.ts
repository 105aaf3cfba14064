/**
 * Keeps the process alive while a live read waits, and while something that was asked for waits for
 * an object store: pauses between attempts do not. Everything else of an embedded node lets the
 * process end when the program has nothing more to do; a program that waits for the next message
 * has. One of the few files that may touch timers directly.
 */

/** Holds the process until the returned function is called. */
export type HoldProcess = () => () => void;

/** Timers cannot be longer than this. */
const LONGEST_MS = 0x7fff_ffff;

let holders = 0;
let timer: NodeJS.Timeout | undefined;

export const holdProcess: HoldProcess = () => {
  let held = true;
  timer ??= setInterval(() => undefined, LONGEST_MS);
  if (++holders === 1) timer.ref();
  return () => {
    if (!held) return;
    held = false;
    if (--holders === 0) timer?.unref(); // and kept: calls begin and end all the time
  };
};

/** Holds the process until `work` has come to an end. */
export async function holding<Result>(
  work: () => Promise<Result>,
  hold: HoldProcess = holdProcess,
): Promise<Result> {
  const release = hold();
  try {
    return await work();
  } finally {
    release();
  }
}
