/** The lists of core and of the protocol: nothing in them is idle, nothing stands beside them. */
import { lineAt, sources, withoutComments, type Finding, type Repository } from './repository.ts';

const LIMITS = 'packages/core/src/limits.ts';
const ERROR_CODES = 'packages/core/src/error-codes.ts';

/** The headers of the Durable Streams protocol that a server reads or writes. */
export const PROTOCOL_HEADERS = [
  'Producer-Epoch',
  'Producer-Expected-Seq',
  'Producer-Id',
  'Producer-Received-Seq',
  'Producer-Seq',
  'Stream-Closed',
  'Stream-Cursor',
  'Stream-Expires-At',
  'Stream-Fork-Offset',
  'Stream-Fork-Sub-Offset',
  'Stream-Forked-From',
  'Stream-Next-Offset',
  'Stream-SSE-Data-Encoding',
  'Stream-Seq',
  'Stream-TTL',
  'Stream-Up-To-Date',
];

/** A limit nobody obeys is a promise nobody keeps. */
export function limits(repository: Repository): Finding[] {
  const text = repository.get(LIMITS);
  if (text === undefined) return [{ path: LIMITS, line: 0, message: 'not found' }];
  const elsewhere = codeBeside(repository, LIMITS);
  return [...text.matchAll(/^ {2}(\w+):/gm)].flatMap((match) => {
    const name = match[1] ?? '';
    const line = lineAt(text, match.index);
    const findings: Finding[] = [];
    if (!/\*\/\s*$/.test(text.slice(0, match.index))) {
      findings.push({ path: LIMITS, line, message: `${name} has no comment with unit and effect` });
    }
    if (!new RegExp(`\\b${name}\\b`).test(elsewhere)) {
      findings.push({ path: LIMITS, line, message: `${name} is used nowhere` });
    }
    return findings;
  });
}

/** A code is thrown somewhere, or its line says `// reserved: <for what>`. */
export function errorCodes(repository: Repository): Finding[] {
  const text = repository.get(ERROR_CODES);
  if (text === undefined) return [{ path: ERROR_CODES, line: 0, message: 'not found' }];
  const elsewhere = codeBeside(repository, ERROR_CODES);
  return [...text.matchAll(/^ {2}([A-Z][A-Z0-9_]+): '\w+',(.*)$/gm)].flatMap((match) => {
    const [, code = '', rest = ''] = match;
    const line = lineAt(text, match.index);
    const used = elsewhere.includes(`'${code}'`);
    const reserved = /\/\/ reserved: \S+/.test(rest);
    if (used === reserved) {
      const message = used ? `${code} is used and marked reserved` : `${code} is used nowhere`;
      return [{ path: ERROR_CODES, line, message }];
    }
    return [];
  });
}

/** Each point that is passed stands in the list of its package, and each of the list is passed. */
export function cutPoints(repository: Repository): Finding[] {
  const passed = new Map<string, Finding>();
  const listed = new Map<string, Finding>();
  for (const [file, text] of sources(repository)) {
    const folder = file.split('/').slice(0, 2).join('/');
    const code = withoutComments(text);
    for (const match of code.matchAll(/\bcut\('([\w.]+)'/g)) {
      const message = `the cut point ${match[1]} is in no list of its package`;
      passed.set(`${folder} ${match[1]}`, { path: file, line: lineAt(code, match.index), message });
    }
    for (const list of code.matchAll(/_CUT_POINTS = \[[^\]]*\]/g)) {
      for (const match of list[0].matchAll(/'([\w.]+)'/g)) {
        const line = lineAt(code, list.index + match.index);
        const message = `the cut point ${match[1]} is passed nowhere`;
        listed.set(`${folder} ${match[1]}`, { path: file, line, message });
      }
    }
  }
  const lacking = (from: Map<string, Finding>, other: Map<string, Finding>): Finding[] =>
    [...from].filter(([name]) => !other.has(name)).map(([, finding]) => finding);
  return [...lacking(passed, listed), ...lacking(listed, passed)];
}

/** Each header is spelled once, in a constant, so that no typo makes a second one. */
export function protocolHeaders(repository: Repository): Finding[] {
  const spelledIn = new Map<string, { path: string; line: number }[]>();
  for (const [file, text] of sources(repository)) {
    if (!/^packages\/(streams|node)\//.test(file)) continue;
    const code = withoutComments(text);
    for (const match of code.matchAll(/['"`]((?:stream|producer)-[a-z-]+)['"`]/gi)) {
      const name = (match[1] ?? '').toLowerCase();
      const places = spelledIn.get(name) ?? [];
      spelledIn.set(name, [...places, { path: file, line: lineAt(code, match.index) }]);
    }
  }
  return PROTOCOL_HEADERS.flatMap((header): Finding[] => {
    const places = spelledIn.get(header.toLowerCase()) ?? [];
    const message = `the header ${header} belongs in one constant`;
    if (places.length === 0) return [{ path: 'packages/streams', line: 0, message }];
    return places.slice(1).map((place) => ({ ...place, message }));
  });
}

function codeBeside(repository: Repository, catalogue: string): string {
  return sources(repository)
    .filter(([file]) => file !== catalogue)
    .map(([, text]) => withoutComments(text))
    .join('\n');
}
