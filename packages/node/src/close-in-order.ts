/** Runs every step, each after the one before it, also when one fails; the first failure is thrown. */
export async function closeInOrder(steps: readonly (() => unknown)[]): Promise<void> {
  let failed: { readonly error: unknown } | undefined;
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failed ??= { error };
    }
  }
  if (failed !== undefined) throw failed.error;
}
