import { describe, expect, it } from 'vitest';
import { loadDriver } from '../../src/backends/load-driver.ts';

describe('the driver of a backend', () => {
  it('that is not installed is named, with its alternatives', async () => {
    const loading = loadDriver('A store', ['node:no-such-part', 'no-such-driver', 'nor-this-one']);
    await expect(loading).rejects.toMatchObject({
      code: 'DRIVER_MISSING',
      message: expect.stringContaining('npm install no-such-driver, or nor-this-one') as string,
      details: { package: 'no-such-driver' },
    });
  });

  it('is the first one that is there', async () => {
    const module = await loadDriver<{ sep: string }>('A store', ['no-such-driver', 'node:path']);
    expect(module.sep).toBe('/');
  });
});
