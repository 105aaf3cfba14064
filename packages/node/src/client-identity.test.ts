import { describe, expect, it } from 'vitest';
import { addressIdentity, identityOfAddress } from './client-identity.ts';

describe('who an address is', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:0:0:ffff:1:2:3', '2001:db8:0:0::/64'],
    ['2001:0DB8:0001:00a2::', '2001:db8:1:a2::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['64:ff9b::192.0.2.33', '64:ff9b:0:0::/64'],
    ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4::/64'],
  ])('%s is %s', (address, identity) => {
    expect(identityOfAddress(address)).toBe(identity);
  });

  it.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', undefined])(
    '%s is nobody: this machine, or this process',
    (remoteAddress) => {
      expect(addressIdentity({ remoteAddress } as never)).toBeUndefined();
    },
  );
});
