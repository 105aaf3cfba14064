/** Runs one history for each seed of a range; a failure names the seed and how to replay it. */
export interface HistoryRange {
  /** Of the first history; the next ones count up. */
  readonly seed: number;
  readonly count: number;
}

/**
 * Rejects at the first history that does.
 *
 * @param replayCommand the command that runs one history, but for its seed at the end.
 */
export async function runHistories(
  { seed: first, count }: HistoryRange,
  replayCommand: string,
  run: (seed: number) => Promise<void>,
): Promise<void> {
  for (let seed = first; seed < first + count; seed++) {
    try {
      await run(seed);
    } catch (cause) {
      throw new Error(`history failed, replay with: ${replayCommand} ${seed}: ${String(cause)}`, {
        cause,
      });
    }
  }
}
