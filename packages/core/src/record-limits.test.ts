import { describe, expect, it } from 'vitest';
import { RECORD_LIMITS as L } from './record-limits.ts';

describe('limits of signed records', () => {
  it('are safe integers above zero', () => {
    for (const [name, value] of Object.entries(L)) {
      expect(Number.isSafeInteger(value) && value > 0, name).toBe(true);
    }
  });

  it('of time fit the timers of the platform (24.8 days)', () => {
    for (const [name, value] of Object.entries(L)) {
      if (name.endsWith('Ms')) expect(value, name).toBeLessThan(2 ** 31);
    }
  });

  it('a record of as many subkeys as there may be holds more than the tag of each', () => {
    expect(L.maxRecordDataBytes / L.maxSubkeys).toBeGreaterThan(16);
  });

  it('the largest set fits a message: a value, a schema of all members, twenty peers', () => {
    const peer = L.maxPeerIdBytes + L.maxPeerAddresses * (L.maxPeerAddressBytes + 4) + 8;
    const parts = [
      L.maxValueBytes + 256,
      L.maxMembers * 34 + 256,
      L.maxPeersInAnswer * peer,
      L.maxSubkeys * 8,
      L.maxSubkeyRanges * 10,
    ];
    expect(parts.reduce((a, b) => a + b)).toBeLessThan(L.maxPeerMessageBytes);
  });

  it('what must agree lies within the width, and a fanout begins with as many', () => {
    expect(L.getCount).toBeLessThanOrEqual(L.setCount);
    expect(L.setCount).toBeLessThanOrEqual(L.consensusWidth);
    expect(L.fanoutSeeds).toBeGreaterThanOrEqual(L.consensusWidth);
  });

  it('a slow peer unlocks the next one before its question is given up', () => {
    expect(L.slowPeerMs * 3).toBeLessThan(L.rpcTimeoutMs);
    expect(L.rpcTimeoutMs).toBeLessThan(L.fanoutTimeoutMs);
  });

  it('a watch and a transaction outlast the question that keeps them', () => {
    expect(L.minWatchMs).toBeGreaterThanOrEqual(L.rpcTimeoutMs);
    expect(L.watchRenewalMs).toBeGreaterThan(L.rpcTimeoutMs);
    expect(L.maxWatchMs).toBeGreaterThan(2 * L.watchRenewalMs);
    expect(L.transactionIdleMs).toBeGreaterThan(L.rpcTimeoutMs);
    expect(L.transactionLifeMs).toBeGreaterThan(L.transactionIdleMs);
  });

  it('no peer may fill the remote store alone', () => {
    expect(L.maxRecordsOfPeer).toBeLessThan(L.maxRemoteRecords);
    expect(L.maxBytesOfPeer).toBeLessThan(L.maxRemoteBytes);
  });
});
