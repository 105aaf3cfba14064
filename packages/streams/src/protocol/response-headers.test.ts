import { describe, expect, it } from 'vitest';
import type { StreamInfo } from '../stream-store.ts';
import { cacheControl } from './response-headers.ts';

const NOW = 1_000_000_000;

function caching(expiry: Partial<StreamInfo>): string {
  return cacheControl(expiry as StreamInfo, NOW);
}

describe('caching of reads', () => {
  it('is what the protocol recommends for a stream that stays', () => {
    expect(caching({})).toBe('public, max-age=60, stale-while-revalidate=300');
    expect(caching({ ttlSeconds: 360 })).toBe('public, max-age=60, stale-while-revalidate=300');
  });

  it('never outlives the stream', () => {
    expect(caching({ ttlSeconds: 359 })).toBe('public, max-age=60, stale-while-revalidate=299');
    expect(caching({ ttlSeconds: 60 })).toBe('public, max-age=60');
    expect(caching({ ttlSeconds: 2 })).toBe('public, max-age=2');
    expect(caching({ ttlSeconds: 0 })).toBe('no-store');
    expect(caching({ expiresAtMs: NOW + 5_900 })).toBe('public, max-age=5');
    expect(caching({ expiresAtMs: NOW + 500 })).toBe('no-store');
    expect(caching({ expiresAtMs: NOW - 5_000 })).toBe('no-store');
  });
});
