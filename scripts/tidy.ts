/**
 * The rules of the house that no other tool checks. Default exports, clocks and file access are the
 * linter's (.oxlintrc.json), `enum` is the compiler's (erasableSyntaxOnly), upward imports are the
 * cruiser's (.dependency-cruiser.cjs), unused exports are knip's.
 */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cutPoints, errorCodes, limits, protocolHeaders } from './tidy/catalogue-rules.ts';
import { completeLockfile, links, machineTraces, shellBlocks } from './tidy/document-rules.ts';
import { declaredNames, fileLengths, fileNames, lengthReport } from './tidy/file-rules.ts';
import { readRepository, type Finding, type Repository, type Rule } from './tidy/repository.ts';
import {
  hardPrivate,
  reachedFiles,
  seams,
  skippedTests,
  somethingToJudge,
} from './tidy/source-rules.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');

const RULES: readonly Rule[] = [
  somethingToJudge,
  fileLengths,
  fileNames,
  declaredNames,
  seams,
  hardPrivate,
  reachedFiles,
  skippedTests,
  limits,
  errorCodes,
  cutPoints,
  protocolHeaders,
  links,
  shellBlocks,
  completeLockfile,
  (repository) => machineTraces(repository, ROOT),
];

export function tidy(repository: Repository): Finding[] {
  return RULES.flatMap((rule) => rule(repository));
}

export function describeFinding({ path: file, line, message }: Finding): string {
  return `${file}${line > 0 ? `:${line}` : ''}: ${message}`;
}

export { readRepository, ROOT };

if (process.argv[1] !== undefined && path.resolve(process.argv[1]) === import.meta.filename) {
  const repository = readRepository(ROOT);
  const findings = tidy(repository);
  for (const finding of findings) console.log(describeFinding(finding));
  console.log(lengthReport(repository));
  if (findings.length > 0) process.exitCode = 1;
}
