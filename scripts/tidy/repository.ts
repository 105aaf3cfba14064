/** The files tidy judges, as text, by path relative to the root; tests plant their own. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

export type Repository = ReadonlyMap<string, string>;

export interface Finding {
  readonly path: string;
  /** 0 where the file as a whole is meant. */
  readonly line: number;
  readonly message: string;
}

export type Rule = (repository: Repository) => Finding[];

const SKIPPED_FOLDERS = new Set(['node_modules', 'dist', 'coverage', '.git']);
/** Ignored by git, so written by whoever runs the code and not by whoever writes it. */
const SKIPPED_PATHS = new Set(['data', 'bench/results/local']);
const TEXT =
  /\.(ts|mjs|cjs|js|json|md|ya?ml|sh|toml|html|css|service)$|^[^.]+$|^\.[a-z]+(rc|ignore)?$/;

export function readRepository(root: string): Map<string, string> {
  const files = new Map<string, string>();
  const walk = (folder: string): void => {
    for (const entry of readdirSync(path.join(root, folder), { withFileTypes: true })) {
      const at = path.posix.join(folder, entry.name);
      if (SKIPPED_FOLDERS.has(entry.name) || SKIPPED_PATHS.has(at)) continue;
      if (entry.isDirectory()) walk(at);
      else if (entry.isFile() && TEXT.test(entry.name)) {
        files.set(at, readFileSync(path.join(root, at), 'utf8'));
      }
    }
  };
  walk('');
  return files;
}

const SOURCE = /^packages\/[^/]+\/src\/.*\.ts$/;
const TEST = /\.test\.ts$|^packages\/[^/]+\/test\//;

export function isTest(file: string): boolean {
  return TEST.test(file);
}

/** Product code: what lies under `src` and is no test. */
export function isSource(file: string): boolean {
  return SOURCE.test(file) && !isTest(file);
}

export function sources(repository: Repository): [string, string][] {
  return [...repository].filter(([file]) => isSource(file));
}

/** The text with comments blanked out, every position kept. Good for our code, no parser of any code. */
export function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(
      /(^|\s)(\/\/.*)$/gm,
      (_, before: string, comment: string) => before + ' '.repeat(comment.length),
    );
}

export function lineAt(text: string, index: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < index; at = text.indexOf('\n', at + 1))
    line++;
  return line;
}

/** One finding for each match of a global pattern. */
export function findAll(
  file: string,
  text: string,
  pattern: RegExp,
  message: (match: RegExpMatchArray) => string,
): Finding[] {
  return [...text.matchAll(pattern)].map((match) => ({
    path: file,
    line: lineAt(text, match.index),
    message: message(match),
  }));
}
