import { hasCode } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { parseNodeSettings, type NodeSettingsInput } from './settings.ts';

function refusal(input: unknown): string {
  try {
    parseNodeSettings(input as NodeSettingsInput);
  } catch (error) {
    if (hasCode(error, 'INVALID_SETTINGS')) return error.message;
    throw error;
  }
  throw new Error('accepted');
}

describe('parseNodeSettings', () => {
  it('fills in defaults and freezes the result', () => {
    const settings = parseNodeSettings({ dir: './data' });
    expect(settings).toMatchObject({ host: '127.0.0.1', port: 4437, basePath: '/v1/stream/' });
    expect(Object.isFrozen(settings)).toBe(true);
  });

  it('takes undefined as not given', () => {
    expect(parseNodeSettings({ memory: true, port: undefined }).port).toBe(4437);
  });

  it('takes a public URL with a path, and tokens for claims that it never repeats', () => {
    const publicUrl = 'https://streams.example:8443/holdfast';
    expect(parseNodeSettings({ memory: true, publicUrl }).publicUrl).toBe(publicUrl);
    const claimTokens = ['0123456789abcdef', 'QUJD-_~./+0123456789=='];
    expect(parseNodeSettings({ memory: true, claimTokens }).claimTokens).toEqual(claimTokens);
    expect(refusal({ memory: true, claimTokens: ['my!secret!of!all!secrets'] })).not.toContain(
      'secret',
    );
  });

  it('keeps secrets out of what it gives', () => {
    const backupCredentials = { accessKeyId: 'AKIAHUSH', secretAccessKey: 'hush-hush' };
    const given = { dir: '/srv/data', backup: 's3://bucket', backupCredentials, key: 'hfk1:hush' };
    expect(JSON.stringify(parseNodeSettings(given))).not.toMatch(/hush/i);
  });

  it('takes a backup beside the data directory, and in S3', () => {
    const dir = '/srv/data';
    for (const backup of ['/srv', '/srv/data-backup', '/srv/backup', 's3://bucket/prefix']) {
      expect(parseNodeSettings({ dir, backup }).backup).toBe(backup);
    }
    // How S3 is reached may stand in an environment for all commands.
    expect(parseNodeSettings({ dir, backupEndpoint: 'https://s3.example' }).backup).toBe(undefined);
  });

  it('refuses an unknown key and names the one that was meant', () => {
    expect(refusal({ memory: true, prot: 1 })).toBe(
      'unknown setting, did you mean port? setting=prot',
    );
    expect(refusal({ memory: true, compression: 1 })).toBe('unknown setting setting=compression');
    expect(refusal(JSON.parse('{"memory":true,"__proto__":1}'))).toContain('unknown setting');
  });

  it('wants exactly one of dir and memory', () => {
    expect(refusal({})).toContain('say where data lives');
    expect(refusal({ dir: './data', memory: true })).toContain('cannot be combined');
  });

  it.each([
    [{ memory: 'yes' }],
    [{ memory: true, port: 65_536 }],
    [{ memory: true, port: '80' }],
    [{ memory: true, port: 1.5 }],
    [{ memory: true, longPollTimeoutMs: 0 }],
    [{ memory: true, shardCount: 3 }],
    [{ memory: true, shardCount: 512 }],
    [{ memory: true, basePath: '/v1/stream' }],
    [{ memory: true, basePath: '//' }],
    [{ memory: true, basePath: '/v1/admin/' }],
    [{ memory: true, allowedHosts: 'localhost' }],
    [{ memory: true, allowedOrigins: ['app.example'] }],
    [{ memory: true, allowedOrigins: ['https://app.example/'] }],
    [{ memory: true, host: '' }],
    [{ memory: true, publicUrl: 'streams.example' }],
    [{ memory: true, publicUrl: 'https://streams.example/' }],
    [{ memory: true, publicUrl: 'https://streams.example/a/' }],
    [{ memory: true, publicUrl: 'https://streams.example?a' }],
    [{ memory: true, publicUrl: 'https://streams.example/a/../b' }],
    [{ memory: true, publicUrl: 'https://user@streams.example' }],
    [{ memory: true, publicUrl: 'ftp://streams.example' }],
    [{ memory: true, claimTokens: ['short'] }],
    [{ memory: true, claimTokens: ['with a space, and long enough'] }],
    [{ memory: true, claimTokens: ['0123456789abcdef'], openClaims: true }],
    [{ memory: true, maxWebhookAttempts: 0 }],
    [{ dir: 'a\0b' }],
    [{ memory: true, backup: '/srv/backup' }],
    [{ dir: '/srv/data', backup: '/srv/data' }],
    [{ dir: '/srv/data', backup: '/srv/data/..backup' }],
    [{ dir: '/srv/data', backup: 'file:///srv/data/backup' }],
    [{ dir: '/srv/data', backup: 's3://' }],
    [{ dir: '/srv/data', backup: 's3://bucket', drillDirectory: '/srv/data/x' }],
    [{ dir: '/srv/data', drillIntervalMs: 1000 }],
    [{ dir: '/srv/data', takeOver: true }],
    [{ dir: '/srv/data', keyFile: '/srv/key', keyCommand: 'true' }],
    [{ dir: '/srv/data', keepLast: -1 }],
  ])('refuses %j', (input) => {
    expect(refusal(input)).toContain('setting=');
  });
});
