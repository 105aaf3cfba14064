import type { Lsn } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { backupHealth, type BackupFacts, backupStatus } from './backup-status.ts';

const NOW_MS = Date.UTC(2026, 4, 17);
const failure = { code: 'STORAGE_UNAVAILABLE', message: 'bucket secret-name does not answer' };

const FACTS: BackupFacts = {
  place: 's3://bucket/prefix',
  repository: 'ab'.repeat(16),
  archive: {
    state: 'behind',
    epoch: 3,
    archivedLsn: 7 as Lsn,
    lagSeconds: 2.5,
    lagRecords: 4,
    lagBytes: 4096,
    pieces: 1,
    pieceBytes: 100,
    lastError: failure,
  },
  snapshots: undefined,
  schedule: undefined,
  drills: undefined,
  nowMs: NOW_MS,
};

describe('backupStatus', () => {
  it('leaves out what nobody knows', () => {
    const status = backupStatus({ ...FACTS, repository: undefined });
    expect(status).not.toHaveProperty('repository');
    expect(status.snapshots).toEqual({ created: 0, failed: 0 });
    expect(status.drills).toEqual({ running: false, passed: 0, failed: 0 });
  });

  it('counts ages from now, and never below zero', () => {
    const last = {
      ok: true,
      at: '2026-05-16T23:59:00.000Z',
      bytes: 1,
      streams: 1,
      stores: 0,
      ms: 5,
      problems: [],
    };
    const status = backupStatus({
      ...FACTS,
      snapshots: {
        underWay: { purpose: 'prune' },
        lastSnapshotId: 'id',
        lastSnapshotAtMs: NOW_MS + 60_000,
        lastSnapshotLsn: 5 as Lsn,
        created: 1,
        failed: 2,
        lastError: { ...failure, atMs: 0 },
      },
      drills: { running: true, passed: 1, failed: 0, last },
    });
    expect(status.snapshots).toMatchObject({
      ageSeconds: 0,
      underWay: 'prune',
      lastError: failure,
    });
    expect(status.drills).toMatchObject({ ageSeconds: 60, lastOk: true, running: true });
    expect(status.drills).not.toHaveProperty('problems');
  });
});

describe('backupHealth', () => {
  it('tells strangers codes and times, and no names', () => {
    const health = backupHealth(backupStatus(FACTS));
    expect(health).toEqual({
      state: 'behind',
      lagSeconds: 2.5,
      lastError: 'STORAGE_UNAVAILABLE',
    });
    expect(JSON.stringify(health)).not.toMatch(/bucket|secret|abab/);
  });
});
