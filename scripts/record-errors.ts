/**
 * Set up before every test file when `npm test` wants to know: leaves one empty file for each
 * error code that product code made. Errors that a test made itself do not count.
 */
import { subscribe } from 'node:diagnostics_channel';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

interface MadeError {
  readonly code: string;
  readonly stack?: string;
}

const SOURCE = /\/packages\/(?!testkit\/)[^/]+\/src\//;

/** Whether the first place above the error's own class is product code. */
export function isMadeByProduct(stack: string): boolean {
  const place = stack
    .split('\n')
    .find((line) => /^\s+at /.test(line) && !line.includes('/packages/core/src/errors.ts'));
  return place !== undefined && SOURCE.test(place) && !place.includes('.test.ts');
}

const folder = process.env['HOLDFAST_RECORDED_ERRORS'];
if (folder !== undefined) {
  const recorded = new Set<string>();
  subscribe('holdfast:error', (message) => {
    const { code, stack } = message as MadeError;
    if (recorded.has(code) || !isMadeByProduct(stack ?? '')) return;
    recorded.add(code);
    writeFileSync(path.join(folder, code), '');
  });
}
