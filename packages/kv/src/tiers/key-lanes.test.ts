import { describe, expect, it } from 'vitest';
import { KeyLanes } from './key-lanes.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('lanes of keys', () => {
  it('take work on one key in the order of calls, and on others at once', async () => {
    const lanes = new KeyLanes();
    const said: string[] = [];
    const work = (name: string) => async (): Promise<void> => {
      said.push(`${name} begins`);
      await turn();
      said.push(`${name} ends`);
    };
    await Promise.all([
      lanes.run(['a'], work('first')),
      lanes.run(['a', 'b'], work('both')),
      lanes.run(['c'], work('other')),
      lanes.run(['b', 'b'], work('last')),
    ]);
    expect(said).toEqual([
      'first begins',
      'other begins',
      'first ends',
      'both begins',
      'other ends',
      'both ends',
      'last begins',
      'last ends',
    ]);
  });

  it('keep nothing of work that is over, also when it failed', async () => {
    const lanes = new KeyLanes();
    const fail = async (): Promise<never> => {
      await turn();
      throw new Error('failed');
    };
    const runs = [lanes.run(['a', 'b'], fail), lanes.run(['b'], fail), lanes.run(['a'], turn)];
    expect(lanes.size).toBe(2);
    expect(lanes.isBusy('a')).toBe(true);
    await Promise.allSettled(runs);
    await turn();
    expect(lanes.size).toBe(0);
  });

  it('let nothing in beside work that is alone', async () => {
    const lanes = new KeyLanes();
    const said: string[] = [];
    const before = lanes.run(['a'], turn).then(() => said.push('before'));
    const alone = lanes.alone(async () => {
      said.push('alone');
      await turn();
      said.push('not alone');
    });
    const after = lanes.run(['b'], async () => void said.push('after'));
    await Promise.all([before, alone, after, lanes.idle()]);
    expect(said).toEqual(['before', 'alone', 'not alone', 'after']);
  });
});
