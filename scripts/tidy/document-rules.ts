/** What documents promise: links lead somewhere, commands are run, nothing is one machine's. */
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { commandBlocks } from '../command-blocks.ts';
import { findAll, lineAt, type Finding, type Repository } from './repository.ts';

/** Relative links name a file that is there and, after `#`, a heading of it. */
export function links(repository: Repository): Finding[] {
  const folders = new Set([...repository.keys()].flatMap(foldersAbove));
  return documents(repository).flatMap(([file, text]) => {
    const prose = withoutCode(text);
    return [...prose.matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g)].flatMap((match) => {
      const link = match[1] ?? '';
      const line = lineAt(prose, match.index);
      if (/^[a-z][a-z0-9+.-]*:/i.test(link)) return [];
      const [target = '', anchor] = decodeURI(link).split('#');
      const at =
        target === '' ? file : path.posix.join(path.posix.dirname(file), target).replace(/\/$/, '');
      const found = repository.get(at);
      if (found === undefined && !folders.has(at)) {
        return [{ path: file, line, message: `${link} leads nowhere` }];
      }
      if (anchor === undefined || !at.endsWith('.md') || found === undefined) return [];
      if (anchors(found).has(anchor)) return [];
      return [{ path: file, line, message: `${link}: no such heading` }];
    });
  });
}

/** Every shell block is either run by the documents' test or says why it is not. */
export function shellBlocks(repository: Repository): Finding[] {
  return documents(repository)
    .filter(([file]) => file === 'README.md' || file.startsWith('docs/'))
    .flatMap(([file, text]) =>
      commandBlocks(text)
        .filter((block) => block.tag.kind === 'untagged')
        .map((block) => ({
          path: file,
          line: block.line,
          message: 'a shell block says `sh run` or `sh not-run: <why>`',
        })),
    );
}

/** Nothing names the machine it was written on, nor where that machine gets its packages. */
export function machineTraces(repository: Repository, root: string): Finding[] {
  const escaped = machinePlaces(root).map((place) => place.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const places = new RegExp(escaped.join('|'), 'g');
  return [...repository].flatMap(([file, text]) => {
    const findings = findAll(file, text, places, (match) => `names this machine: ${match[0]}`);
    if (file === 'package-lock.json') {
      const resolved = /"resolved": "https?:/g;
      findings.push(...findAll(file, text, resolved, () => 'names a package registry'));
    }
    if (file === '.npmrc') {
      findings.push(...findAll(file, text, /registry\s*=|_auth/g, () => 'names a registry'));
    }
    return findings;
  });
}

interface LockedPackage {
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/**
 * `npm ci` refuses a lockfile that does not name the binaries of every platform, and an npm that
 * could not reach one of them leaves it out without a word.
 */
export function completeLockfile(repository: Repository): Finding[] {
  const file = 'package-lock.json';
  const text = repository.get(file) ?? '{}';
  const { packages = {} } = JSON.parse(text) as { packages?: Record<string, LockedPackage> };
  const locked = new Set(Object.keys(packages).map((at) => at.replace(/^.*node_modules\//, '')));
  return Object.values(packages)
    .flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}))
    .filter((name) => !locked.has(name))
    .map((name) => ({ path: file, line: 0, message: `${name} is not locked` }));
}

function machinePlaces(root: string): string[] {
  const places = [root];
  if (homedir() !== '/') places.push(`${homedir()}/`);
  const above = path.dirname(root);
  if (above !== '/' && !tmpdir().startsWith(above) && !above.startsWith(tmpdir())) {
    places.push(`${above}/`);
  }
  const registry = process.env['npm_config_registry'];
  if (registry !== undefined) places.push(new URL(registry).host);
  return places;
}

function documents(repository: Repository): [string, string][] {
  return [...repository].filter(([file]) => file.endsWith('.md'));
}

function foldersAbove(file: string): string[] {
  const parts = file.split('/').slice(0, -1);
  return ['.', ...parts.map((_, index) => parts.slice(0, index + 1).join('/'))];
}

function withoutCode(text: string): string {
  const blank = (code: string): string => code.replace(/[^\n]/g, ' ');
  return text.replace(/^(`{3,}|~{3,})[\s\S]*?^\1/gm, blank).replace(/`[^`\n]+`/g, blank);
}

/** Heading anchors as GitHub makes them, numbered where a heading repeats. */
function anchors(text: string): Set<string> {
  const found = new Set<string>();
  const prose = text.replace(/^(`{3,}|~{3,})[\s\S]*?^\1/gm, '');
  for (const match of prose.matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const slug = (match[1] ?? '')
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}\s_-]/gu, '')
      .replace(/\s/g, '-');
    let unique = slug;
    for (let copy = 1; found.has(unique); copy++) unique = `${slug}-${copy}`;
    found.add(unique);
  }
  for (const match of text.matchAll(/<a (?:id|name)="([^"]+)"/g)) found.add(match[1] ?? '');
  return found;
}
