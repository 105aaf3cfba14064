import { describe, expect, it } from 'vitest';
import { HostCheck, hostName, isLoopbackAddress } from './host-check.ts';

describe('HostCheck', () => {
  it.each([
    'localhost',
    'LOCALHOST:4437',
    '127.0.0.1:80',
    '127.1.2.3',
    '[::1]:4437',
    'a.localhost',
  ])('accepts %s on loopback', (host) => {
    expect(new HostCheck([], true).accepts(host)).toBe(true);
  });

  it.each([
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '128.0.0.1',
    'evil.example@127.0.0.1',
    '127.0.0.1:99999999',
    '127.evil.example',
    '',
    'a b',
  ])('refuses "%s" on loopback, also after a good one', (host) => {
    const check = new HostCheck([], true);
    expect(check.accepts('localhost')).toBe(true);
    expect(check.accepts(host)).toBe(false);
  });

  it('accepts every name elsewhere until names are configured', () => {
    expect(new HostCheck([], false).accepts('db.example')).toBe(true);
    const check = new HostCheck(['DB.example'], false);
    expect(check.accepts('db.example:4437')).toBe(true);
    expect(check.accepts('other.example')).toBe(false);
  });
});

describe('hostName', () => {
  it('keeps the brackets of IPv6 and drops the port', () => {
    expect(hostName('[::1]:80')).toBe('[::1]');
    expect(hostName('Example:80')).toBe('example');
    expect(hostName('http://x')).toBeUndefined();
  });
});

describe('isLoopbackAddress', () => {
  it('knows mapped addresses and refuses public ones', () => {
    expect(isLoopbackAddress('::ffff:127.0.0.1')).toBe(true);
    expect(isLoopbackAddress('0.0.0.0')).toBe(false);
    expect(isLoopbackAddress('::')).toBe(false);
  });
});
