import { readFileSync } from 'node:fs';
import { ERROR_CODES } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { ERROR_REFERENCE, errorReference, reservedCodes } from './error-reference.ts';
import { codesInUse } from './produced-errors.mjs';
import { isMadeByProduct } from './record-errors.ts';

describe('docs/ERRORS.md', () => {
  it('is what `npm run errors` writes', async () => {
    expect(readFileSync(ERROR_REFERENCE, 'utf8')).toBe(await errorReference());
  });

  it('has an anchor for every code', async () => {
    const reference = await errorReference();
    for (const code of Object.keys(ERROR_CODES)) expect(reference).toContain(`\n### ${code}\n`);
  });
});

describe('the codes that a test must produce', () => {
  it('are all but the reserved ones', () => {
    const text = readFileSync('packages/core/src/error-codes.ts', 'utf8');
    const all = Object.keys(ERROR_CODES).sort();
    expect([...codesInUse(text), ...reservedCodes()].sort()).toEqual(all);
    expect(reservedCodes()).toContain('OFFSET_TRIMMED');
  });

  it('do not count where a test makes the error itself', () => {
    const above = 'Error: x\n    at new HoldfastError (/a/packages/core/src/errors.ts:52:7)\n';
    expect(isMadeByProduct(`${above}    at f (/a/packages/log/src/log.ts:1:1)\n`)).toBe(true);
    expect(isMadeByProduct(`${above}    at /a/packages/log/src/log.test.ts:1:1\n`)).toBe(false);
    expect(isMadeByProduct(`${above}    at /a/packages/log/test/x.ts:1:1\n`)).toBe(false);
    expect(isMadeByProduct(`${above}    at f (/a/packages/testkit/src/x.ts:1:1)`)).toBe(false);
    expect(isMadeByProduct('Error: x')).toBe(false);
  });
});
