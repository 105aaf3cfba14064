import { expect, test } from 'vitest';
import { commandBlocks } from './command-blocks.ts';

test('blocks are found with line, tag and text; other languages are left alone', () => {
  const markdown = [
    '# Title',
    '```sh run',
    'npm start',
    '```',
    '```ts',
    'const notShell = true;',
    '```',
    '````bash not-run: needs a second machine',
    '```',
    'inner',
    '````',
    '```sh',
    '```',
    '```sh run background',
    'npm start',
    '```',
    '```sh run background s3',
    'npm start',
    '```',
    '```sh run postgres',
    'npm start',
    '```',
  ].join('\n');
  expect(commandBlocks(markdown)).toEqual([
    { line: 2, tag: { kind: 'run', background: false, needs: undefined }, text: 'npm start' },
    { line: 8, tag: { kind: 'not-run', reason: 'needs a second machine' }, text: '```\ninner' },
    { line: 12, tag: { kind: 'untagged' }, text: '' },
    { line: 14, tag: { kind: 'run', background: true, needs: undefined }, text: 'npm start' },
    { line: 17, tag: { kind: 'run', background: true, needs: 's3' }, text: 'npm start' },
    { line: 20, tag: { kind: 'run', background: false, needs: 'postgres' }, text: 'npm start' },
  ]);
});

test('a reason is not optional', () => {
  expect(commandBlocks('```sh not-run:\n```')[0]?.tag).toEqual({ kind: 'untagged' });
});
