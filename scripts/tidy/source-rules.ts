/** What the linter cannot see in product code and in tests. */
import path from 'node:path';
import {
  findAll,
  isSource,
  isTest,
  lineAt,
  sources,
  withoutComments,
  type Finding,
  type Repository,
} from './repository.ts';

/** The ways around the seams of core that the linter has no rule for. */
export function seams(repository: Repository): Finding[] {
  return sources(repository)
    .filter(([file]) => !path.basename(file).startsWith('node-'))
    .flatMap(([file, text]) => {
      const code = withoutComments(text);
      const findings = [
        ...findAll(file, code, /\bnew Date\(\s*\)/g, () => 'new Date() reads the clock'),
        ...findAll(
          file,
          code,
          /\bDate\(\s*\)(?<!new Date\(\s*\))/g,
          () => 'Date() reads the clock',
        ),
        ...findAll(file, code, /\bgetBuiltinModule\b/g, () => 'getBuiltinModule goes around lint'),
      ];
      if (/^packages\/(cli|testkit)\//.test(file)) return findings;
      const exit = /\bprocess\.(exit|abort|kill)\b/g;
      return [...findings, ...findAll(file, code, exit, () => 'only the cli ends the process')];
    });
}

/** `private` is a word for the compiler alone; `#` holds at run time too. */
export function hardPrivate(repository: Repository): Finding[] {
  return sources(repository).flatMap(([file, text]) =>
    findAll(
      file,
      withoutComments(text),
      /^\s*(private|protected) (?!constructor)/gm,
      (match) => `${match[1]}: use #private`,
    ),
  );
}

/** Every source file is reached from another one, or is what its package exports or runs. */
export function reachedFiles(repository: Repository): Finding[] {
  const reached = new Set<string>();
  for (const [file, text] of sources(repository)) {
    for (const match of text.matchAll(/['"](\.{1,2}\/[^'"]+)\.[jt]s['"]/g)) {
      reached.add(`${path.posix.join(path.posix.dirname(file), match[1] ?? '')}.ts`);
    }
  }
  for (const [file, text] of repository) {
    const folder = /^(packages\/[^/]+)\/bin\/[^/]+\.mjs$/.exec(file)?.[1];
    if (folder !== undefined) {
      for (const match of text.matchAll(/'\.\.\/dist\/([^']+)\.js'/g)) {
        reached.add(`${folder}/src/${match[1]}.ts`);
      }
    }
    if (!/^packages\/[^/]+\/package\.json$/.test(file)) continue;
    for (const match of text.matchAll(/"\.\/(?:src|dist)\/([^"*]+?)\.(?:d\.)?[jt]s"/g)) {
      reached.add(`${path.posix.dirname(file)}/src/${match[1]}.ts`);
    }
  }
  return sources(repository)
    .filter(([file]) => !reached.has(file))
    .map(([file]) => ({ path: file, line: 0, message: 'nothing imports this file' }));
}

const SKIP = /\b(?:it|test|describe)\b[\w.]*\.(skip|todo|skipIf|runIf|only)\b/g;

/** A skipped test says why, on its line or in the comment above it; `only` never stays. */
export function skippedTests(repository: Repository): Finding[] {
  return [...repository]
    .filter(([file]) => file.startsWith('packages/') && isTest(file))
    .flatMap(([file, text]) => {
      const lines = text.split('\n');
      return [...withoutComments(text).matchAll(SKIP)].flatMap((match) => {
        const line = lineAt(text, match.index);
        if (match[1] === 'only')
          return [{ path: file, line, message: 'only hides the other tests' }];
        const around = `${lines[line - 2] ?? ''}\n${lines[line - 1] ?? ''}`;
        if (/\/\/|\*\/\s*$/m.test(around)) return [];
        return [{ path: file, line, message: `${match[1]} without a reason in a comment` }];
      });
    });
}

/** Fails loudly should the folders ever move: then every rule above would judge nothing. */
export function somethingToJudge(repository: Repository): Finding[] {
  if ([...repository.keys()].some((file) => isSource(file))) return [];
  return [{ path: 'packages', line: 0, message: 'no source files found' }];
}
