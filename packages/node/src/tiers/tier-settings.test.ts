import { hasCode } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { parseTiers } from './tier-settings.ts';

const CONTEXT = { memory: false, dir: '/srv/data' };

function refusalOf(tiers: unknown, context = CONTEXT): string {
  try {
    parseTiers(tiers, context);
  } catch (error) {
    if (hasCode(error, 'INVALID_SETTINGS')) return error.message;
    throw error;
  }
  throw new Error('taken');
}

describe('settings of tiers', () => {
  it('have defaults: the engine, and nothing else', () => {
    expect(parseTiers(undefined, CONTEXT)).toEqual([]);
    const [orders] = parseTiers({ orders: {} }, CONTEXT);
    expect(orders).toMatchObject({
      primary: { id: 'engine:orders' },
      backup: undefined,
      settings: { id: 'orders' },
    });
    expect(
      parseTiers({ orders: { primary: 'lmdb:/x', backup: 'engine:' } }, CONTEXT),
    ).toMatchObject([{ backup: { id: 'engine:_tiers-backup.orders' } }]);
    // As a promotion tells to write it.
    expect(
      parseTiers({ orders: { primary: 'engine:_tiers-backup.orders' } }, CONTEXT),
    ).toHaveLength(1);
  });

  it('are handed on, and places are not among them', () => {
    const given = {
      ...{ primary: 'lmdb:/a', backup: 'lmdb:/b', ephemeral: 'memory:' },
      rules: [{ prefix: 'c/' }, { glob: '*.tmp' }],
      ...{ onRulesChange: 'migrate', backupMode: 'async', readFallback: { hedgedAfterMs: 5 } },
      ...{ onOwedLimit: 'degrade', maxOwedOperations: 5, maxOwedBytes: 6, maxOwedAgeMs: 7 },
      ...{ callTimeoutMs: 8, ephemeralLimits: { maxBytes: 9, maxEntries: 10 }, takeOver: true },
    };
    const [orders] = parseTiers({ orders: { ...given, encrypted: false } }, CONTEXT);
    const { primary: _p, backup: _b, ephemeral: _e, ...settings } = given;
    expect(orders?.settings).toEqual({ ...settings, id: 'orders' });
    expect(orders?.encrypted).toBe(false);
  });

  it.each([
    [[], 'must be an object setting=tiers'],
    [{ orders: 'lmdb:/x' }, 'must be an object setting=tiers.orders'],
    [{ _x: {} }, 'names a store that is not'],
    [{ ['x'.repeat(60)]: {} }, 'names a store that is not'],
    [{ orders: { bakup: 'lmdb:/x' } }, 'did you mean backup? setting=tiers.orders.bakup'],
    [{ orders: { __proto__x: 1 } }, 'unknown setting'],
    [{ orders: { backup: 7 } }, 'must be a text'],
    [{ orders: { backupMode: 'asynch' } }, 'must be sync or async'],
    [{ orders: { takeOver: 'yes' } }, 'must be true or false'],
    [{ orders: { maxOwedBytes: 0 } }, 'must be a whole number above 0'],
    [{ orders: { readFallback: 'always' } }, 'must be never, if-unavailable'],
    [{ orders: { readFallback: { hedgedAfterMs: 1, more: 2 } } }, 'must be never, if-unavailable'],
    [{ orders: { ephemeral: 'memory:' } }, 'no rules that say what goes there'],
    [{ orders: { rules: [{ prefix: 'a' }] } }, 'no ephemeral place'],
    [{ orders: { ephemeral: 'memory:', rules: [{ prefix: '' }] } }, 'must hold rules like'],
    [{ orders: { ephemeral: 'memory:', rules: [{ prefix: 'a', glob: 'b' }] } }, 'must hold rules'],
    [{ orders: { ephemeral: 'memory:', rules: [{ id: 'a' }] } }, 'must hold rules like'],
    [
      { orders: { ephemeral: 'memory:', rules: [{ prefix: 'a' }], ephemeralLimits: { max: 1 } } },
      'like',
    ],
    [{ orders: { backup: 'memory:' } }, 'is gone when the process ends'],
    [{ orders: { backup: 'engine:other' } }, 'is a store of its own'],
    [{ orders: { backup: 'lmdb:/srv/data/x' } }, 'must not be in the data directory'],
    [{ orders: { primary: 'lmdb:/a', backup: 'files:/a/b' } }, 'is in the folder of'],
    [
      { orders: { primary: 'lmdb:/a', backup: 'lmdb:/a' } },
      'is the same place as tiers.orders.primary',
    ],
    [
      { orders: { backup: 'redis://u:p@h' }, bills: { backup: 'redis://h/0' } },
      'is the same place as tiers.orders.backup',
    ],
  ])('%j is refused: %s', (tiers, reason) => {
    expect(refusalOf(tiers)).toContain(reason);
  });

  it('of a node in memory name places that are gone with it, and no others', () => {
    const context = { memory: true, dir: undefined };
    expect(parseTiers({ orders: { backup: 'memory:' } }, context)).toHaveLength(1);
    expect(refusalOf({ orders: { backup: 'lmdb:/x' } }, context as never)).toContain(
      'cannot be combined with memory',
    );
  });
});
