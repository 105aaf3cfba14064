import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { hasCode, NodeClock, NodeFileSystem, NodeRandom } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import {
  describeLocation,
  openObjectStore,
  parseObjectStoreLocation,
} from './object-store-location.ts';

describe('parseObjectStoreLocation', () => {
  it.each([
    ['s3://bucket', { kind: 's3', bucket: 'bucket', prefix: undefined }, 's3://bucket'],
    ['s3://bucket/', { kind: 's3', bucket: 'bucket', prefix: undefined }, 's3://bucket'],
    ['s3://b.c/a/D_e/', { kind: 's3', bucket: 'b.c', prefix: 'a/D_e' }, 's3://b.c/a/D_e'],
    ['S3://Bucket/x', { kind: 's3', bucket: 'Bucket', prefix: 'x' }, 's3://Bucket/x'],
    ['file:///srv/a%20b', { kind: 'folder', directory: '/srv/a b' }, '/srv/a b'],
    ['/srv/../srv/x', { kind: 'folder', directory: '/srv/x' }, '/srv/x'],
    ['backups', { kind: 'folder', directory: path.resolve('backups') }, path.resolve('backups')],
  ])('%s', (text, location, shown) => {
    expect(parseObjectStoreLocation(text)).toEqual(location);
    expect(describeLocation(parseObjectStoreLocation(text))).toBe(shown);
  });

  it.each([
    's3://AKIA:hush@bucket/prefix',
    's3://hush@bucket',
    's3://bucket/p?secret=hush',
    's3://bucket/p#hush',
    'https://user:hush@storage.example/bucket',
  ])('refuses %s, and does not repeat it', (text) => {
    try {
      parseObjectStoreLocation(text);
    } catch (error) {
      expect(hasCode(error, 'INVALID_SETTINGS')).toBe(true);
      expect(String(error)).not.toContain('hush');
      return;
    }
    throw new Error('accepted');
  });

  it.each([
    's3://',
    's3:bucket',
    's3:///prefix',
    's3://b/a//b',
    's3://b/a//',
    's3://b/../c',
    'https://bucket',
    'gs://bucket',
    'file://host/x',
    ' ',
    '~',
    '~/backup',
  ])('refuses %s', (text) => {
    expect(() => parseObjectStoreLocation(text)).toThrow('setting=backup');
  });
});

describe('openObjectStore', () => {
  it('keeps objects in a folder, and counts what goes through', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-location-'));
    const components = {
      fileSystem: new NodeFileSystem(),
      clock: new NodeClock(),
      random: new NodeRandom(),
    };
    const store = await openObjectStore({ kind: 'folder', directory }, {}, components);
    await store.put('a/b', Buffer.from('x'));
    expect((await store.list()).objects).toEqual([{ key: 'a/b', size: 1 }]);
    expect(store.metrics().operations.put.outcomes).toEqual({ ok: 1 });
    await store.close();
    rmSync(directory, { recursive: true });
  });
});

const LOADED = `data:text/javascript,
  import { register } from 'node:module';
  register('data:text/javascript,' + encodeURIComponent(
    'export async function load(url, context, next) {' +
    '  process._rawDebug("LOADED " + url); return next(url, context); }'));`;

describe('importing the node', () => {
  it('loads nothing that speaks S3', () => {
    const entry = fileURLToPath(new URL('./index.ts', import.meta.url));
    const { stderr, status } = spawnSync(
      process.execPath,
      [
        ...['--import', 'tsx', '--conditions', 'x-source'],
        ...['--import', LOADED.replaceAll('\n', ' '), '--input-type=module'],
        ...['-e', `await import(${JSON.stringify(entry)}); process._rawDebug('DONE');`],
      ],
      {
        cwd: fileURLToPath(new URL('../../../', import.meta.url)),
        env: { ...process.env, NODE_OPTIONS: '' },
        encoding: 'utf8',
      },
    );
    expect([status, stderr.trim().endsWith('DONE')]).toEqual([0, true]);
    const loaded = stderr.split('\n').filter((line) => line.startsWith('LOADED '));
    expect(loaded.filter((line) => line.includes('packages/node/src/')).length).toBeGreaterThan(20);
    expect(loaded.filter((line) => /aws4fetch|\/s3-/.test(line))).toEqual([]);
  });
});
