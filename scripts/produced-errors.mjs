/**
 * Which error codes no test produced. A code that nothing can produce is not part of a contract,
 * and one that no test produces is only hoped for.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './prepare.mjs';

const CATALOGUE = path.join(ROOT, 'packages/core/src/error-codes.ts');

/** @param {string} text of the catalogue; the codes that are not reserved for later */
export function codesInUse(text) {
  return [...text.matchAll(/^ {2}([A-Z][A-Z0-9_]+): '\w+',(.*)$/gm)]
    .filter(([, , rest = '']) => !rest.includes('// reserved:'))
    .map(([, code]) => code);
}

/** @param {string} folder what `record-errors.ts` left */
export function producedErrors(folder) {
  const produced = new Set(readdirSync(folder));
  const codes = codesInUse(readFileSync(CATALOGUE, 'utf8'));
  return { codes, missing: codes.filter((code) => !produced.has(code)) };
}
