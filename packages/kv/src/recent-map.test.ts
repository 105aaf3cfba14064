import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RecentMap } from './recent-map.ts';

test('a map that is filled anew with every use says the same', () => {
  const step = fc.tuple(fc.constantFrom('get', 'peek', 'set', 'delete', 'clear'), fc.nat(12));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
      const map = new RecentMap<number>();
      const model = new Map<string, number>();
      const used = (key: string, value: number): void => {
        model.delete(key);
        model.set(key, value);
      };
      for (const [at, [what, number]] of steps.entries()) {
        const key = String(number);
        const there = model.get(key);
        if (what === 'set') {
          map.set(key, at);
          used(key, at);
        } else if (what === 'delete') {
          map.delete(key);
          model.delete(key);
        } else if (what === 'clear' && number === 0) {
          map.clear();
          model.clear();
        } else if (what === 'get') {
          expect(map.get(key)).toBe(there);
          if (there !== undefined) used(key, there);
        } else expect(map.peek(key)).toBe(there);
        expect(map.size).toBe(model.size);
        expect(map.oldestKey).toBe([...model.keys()][0]);
      }
      for (const key of model.keys()) {
        expect(map.oldestKey).toBe(key);
        map.delete(key);
      }
      expect(map.size).toBe(0);
    }),
  );
});
