/**
 * `npm run errors`: writes docs/ERRORS.md from the catalogue of error codes, whose comments say
 * what a code means and what to do; statuses and exit codes come from the code that gives them.
 * A test holds the file against this.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ERROR_CODES, HoldfastError, type ErrorCode, type ErrorKind } from '@holdfast/core';
import { format, resolveConfig } from 'prettier';
import { exitCodeOf } from '../packages/cli/src/exit-codes.ts';
import { statusOf } from '../packages/streams/src/http/error-status.ts';

const ROOT = path.join(import.meta.dirname, '..');
export const ERROR_REFERENCE: string = path.join(ROOT, 'docs/ERRORS.md');

const CALLER_DOES: Record<ErrorKind, string> = {
  invalid: 'fixes the request or the settings',
  denied: 'gets a credential',
  missing: 'stops, or creates it',
  conflict: 'reads again, decides again',
  fenced: 'stops: a newer epoch owns it',
  limit: 'slows down or shrinks',
  unavailable: 'tries again later',
  corrupt: 'stops: an operator has to look',
  closed: 'opens again, or it was its own abort',
  internal: 'reports a bug',
};

const INTRODUCTION = `# Error codes

<!-- Written by \`npm run errors\` from packages/core/src/error-codes.ts: change it there. -->

Every error of Holdfast has a \`code\`. It says what happened and does not change between releases;
match it, never the message. Its kind says what the caller does. Over HTTP the code is a member of
the \`application/problem+json\` body; of what is a fault of the node itself (\`unavailable\`,
\`corrupt\`, \`closed\`, \`internal\`) the client gets a fixed text, and the cause is in the node's log.
The status is what the code gets by itself; "exit" is the exit code of the \`holdfast\` command.

A program in the same process can hear every error as it is made: subscribe to the channel
\`holdfast:error\` of \`node:diagnostics_channel\`.
`;

interface Entry {
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly meaning: string;
  readonly advice: string;
  readonly reservedFor: string | undefined;
}

export async function errorReference(): Promise<string> {
  const found = entries(readFileSync(path.join(ROOT, 'packages/core/src/error-codes.ts'), 'utf8'));
  const kinds = [...new Set(found.map(({ kind }) => kind))];
  const text = [INTRODUCTION, table(found), ...kinds.map((kind) => section(kind, found))].join(
    '\n',
  );
  const options = await resolveConfig(ERROR_REFERENCE);
  return format(text, { ...options, parser: 'markdown' });
}

/** Codes that nothing throws yet. */
export function reservedCodes(): ErrorCode[] {
  const text = readFileSync(path.join(ROOT, 'packages/core/src/error-codes.ts'), 'utf8');
  return entries(text)
    .filter(({ reservedFor }) => reservedFor !== undefined)
    .map(({ code }) => code);
}

function entries(catalogue: string): Entry[] {
  return (Object.keys(ERROR_CODES) as ErrorCode[]).map((code) => {
    const line = new RegExp(
      `/\\*\\*((?:(?!\\*/)[^])*)\\*/\\s*^  ${code}: '\\w+',(?: // reserved: (.*))?`,
      'm',
    );
    const match = line.exec(catalogue);
    const comment = (match?.[1] ?? '').replaceAll(/\s*\n\s*\*\s?/g, ' ').trim();
    const [meaning, advice] = comment.split(' Do: ');
    if (meaning === undefined || meaning === '' || advice === undefined) {
      throw new Error(`${code} has no comment "/** What it means. Do: what to do. */"`);
    }
    return { code, kind: ERROR_CODES[code], meaning, advice, reservedFor: match?.[2] };
  });
}

function table(found: readonly Entry[]): string {
  const rows = found.map(
    ({ code, kind }) =>
      `| [\`${code}\`](#${code.toLowerCase()}) | ${kind} | ${statusFor(code)} | ${exitCodeOf(code)} |`,
  );
  return ['| code | kind | HTTP | exit |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}

function section(kind: ErrorKind, found: readonly Entry[]): string {
  const own = found.filter((entry) => entry.kind === kind);
  return [`## Kind \`${kind}\`: the caller ${CALLER_DOES[kind]}`, '', ...own.map(paragraph)].join(
    '\n',
  );
}

function paragraph({ code, meaning, advice, reservedFor }: Entry): string {
  const retry = new HoldfastError(code, '').retryable
    ? ' The same request may succeed later without a change.'
    : '';
  const reserved =
    reservedFor === undefined ? '' : ` _Reserved (${reservedFor}): nothing says it yet._`;
  const facts = `HTTP ${statusFor(code)}, exit ${exitCodeOf(code)}.`;
  const capital = `${advice.charAt(0).toUpperCase()}${advice.slice(1)}`;
  return `### ${code}\n\n${meaning}${reserved}\n\n**What to do:** ${capital}${retry}\n\n${facts}\n`;
}

function statusFor(code: ErrorCode): number {
  return statusOf(new HoldfastError(code, ''));
}

if (process.argv[1] !== undefined && path.resolve(process.argv[1]) === import.meta.filename) {
  writeFileSync(ERROR_REFERENCE, await errorReference());
}
