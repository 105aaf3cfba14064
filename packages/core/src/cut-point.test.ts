import { afterEach, describe, expect, it } from 'vitest';
import { cut, onCut } from './cut-point.ts';

let off: (() => void) | undefined;
afterEach(() => off?.());

describe('cut points', () => {
  it('cost nothing and do nothing when nobody listens', () => {
    expect(cut('log.afterWrite')).toBeUndefined();
  });

  it('tell the listener their name; it may throw or delay', async () => {
    const heard: string[] = [];
    off = onCut((name) => {
      heard.push(name);
      if (name === 'throw') throw new Error('here');
      return name === 'delay' ? Promise.resolve() : undefined;
    });
    expect(cut('plain')).toBeUndefined();
    expect(() => cut('throw')).toThrow('here');
    await expect(cut('delay')).resolves.toBeUndefined();
    expect(heard).toEqual(['plain', 'throw', 'delay']);
  });

  it('a listener taken off does not take off the next one', () => {
    const heard: string[] = [];
    const first = onCut(() => undefined);
    off = onCut((name) => void heard.push(name));
    first();
    void cut('still heard');
    expect(heard).toEqual(['still heard']);
  });
});
