/**
 * The shell blocks of a document, for the test that runs them and for tidy, which wants each tagged.
 *
 * | info string               | meaning                                          |
 * | ------------------------- | ------------------------------------------------ |
 * | `sh run`                  | run in a clean copy; it must exit 0              |
 * | `sh run background`       | started, left running for the blocks that follow |
 * | `sh run s3`               | also `background s3`: needs an S3 server         |
 * | `sh run postgres`         | also `background postgres`: needs a Postgres     |
 * | `sh not-run: <reason>`    | shown only, because ...                          |
 */
export type NeededServer = 's3' | 'postgres';

export type CommandTag =
  | { readonly kind: 'run'; readonly background: boolean; readonly needs: NeededServer | undefined }
  | { readonly kind: 'not-run'; readonly reason: string }
  | { readonly kind: 'untagged' };

export interface CommandBlock {
  /** Line of the opening fence, counted from 1. */
  readonly line: number;
  readonly tag: CommandTag;
  readonly text: string;
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*(.*)$/;

export function commandBlocks(markdown: string): CommandBlock[] {
  const blocks: CommandBlock[] = [];
  const lines = markdown.split('\n');
  for (let index = 0; index < lines.length; index++) {
    const open = FENCE.exec(lines[index] ?? '');
    if (open === null) continue;
    const [, fence = '', info = ''] = open;
    const body: string[] = [];
    const line = index + 1;
    while (++index < lines.length && !closes(lines[index] ?? '', fence)) {
      body.push(lines[index] ?? '');
    }
    const [language = '', ...rest] = info.trim().split(/\s+/);
    if (!['sh', 'bash', 'shell', 'console'].includes(language)) continue;
    blocks.push({ line, tag: parseTag(rest.join(' ')), text: body.join('\n') });
  }
  return blocks;
}

function closes(line: string, fence: string): boolean {
  const trimmed = line.trim();
  return trimmed.startsWith(fence) && /^(`+|~+)$/.test(trimmed);
}

function parseTag(text: string): CommandTag {
  const run = /^run( background)?(?: (s3|postgres))?$/.exec(text);
  if (run !== null) {
    const needs = run[2] as NeededServer | undefined;
    return { kind: 'run', background: run[1] !== undefined, needs };
  }
  const reason = /^not-run: (.+)$/.exec(text)?.[1];
  return reason === undefined ? { kind: 'untagged' } : { kind: 'not-run', reason };
}
