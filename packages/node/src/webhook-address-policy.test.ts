import { describe, expect, it } from 'vitest';
import { WebhookAddressPolicy } from './webhook-address-policy.ts';

const strict = new WebhookAddressPolicy({ allowLoopback: false });
const development = new WebhookAddressPolicy({ allowLoopback: true });
const REJECTED = expect.objectContaining({ code: 'WEBHOOK_URL_REJECTED' }) as Error;

/** This machine, in every spelling that a URL parser takes for it. */
const LOOPBACK = [
  'localhost',
  'LOCALHOST',
  'loc%61lhost',
  '127.0.0.1',
  '127.1',
  '127.255.255.254',
  '2130706433',
  '0x7f000001',
  '0x7f.0.0.1',
  '0177.0.0.1',
  '017700000001',
  '127.0.0.1.',
  '127%2e0%2e0%2e1',
  '[::1]',
  '[0:0:0:0:0:0:0:1]',
  '[::0.0.0.1]',
];

const NEVER = [
  // This network, in its spellings.
  ['a zero address', '0.0.0.0'],
  ['a short zero address', '0'],
  ['any of 0/8', '0.1.2.3'],
  ['private 10/8', '10.0.0.1'],
  ['private 10/8 as a number', '167772161'],
  ['private 172.16/12', '172.31.255.255'],
  ['private 192.168/16', '192.168.1.1'],
  ['private in hex', '0xc0a80101'],
  ['private in octal', '0300.0250.1.1'],
  ['private and short', '192.168.257'],
  ['link-local', '169.254.1.1'],
  ['metadata of most clouds', '169.254.169.254'],
  ['metadata of most clouds in hex', '0xa9fea9fe'],
  ['metadata of Alibaba', '100.100.100.200'],
  ['metadata of Oracle', '192.0.0.192'],
  ['control plane of Azure', '168.63.129.16'],
  ['shared addresses of carriers', '100.64.0.1'],
  ['the end of them', '100.127.255.255'],
  ['protocol assignments', '192.0.0.1'],
  ['documentation', '192.0.2.1'],
  ['6to4 relays', '192.88.99.1'],
  ['benchmarks', '198.18.0.1'],
  ['the end of them', '198.19.255.255'],
  ['documentation', '198.51.100.7'],
  ['documentation', '203.0.113.7'],
  ['AS112', '192.175.48.6'],
  ['multicast', '224.0.0.1'],
  ['the end of it', '239.255.255.255'],
  ['reserved', '240.0.0.1'],
  ['broadcast', '255.255.255.255'],
  // IPv6.
  ['unspecified', '[::]'],
  ['link-local', '[fe80::1]'],
  ['the end of it', '[febf::1]'],
  ['site-local', '[fec0::1]'],
  ['unique local', '[fc00::1]'],
  ['metadata of AWS', '[fd00:ec2::254]'],
  ['multicast', '[ff02::1]'],
  ['discard', '[100::1]'],
  ['documentation', '[2001:db8::1]'],
  ['documentation', '[3fff::1]'],
  ['benchmarks', '[2001:2::1]'],
  ['ORCHID', '[2001:20::1]'],
  ['Teredo', '[2001::1]'],
  ['6to4 of a private address', '[2002:0a00:0001::1]'],
  ['6to4 of a public address', '[2002:0808:0808::1]'],
  ['mapped loopback', '[::ffff:127.0.0.1]'],
  ['mapped loopback in hex', '[::ffff:7f00:1]'],
  ['mapped metadata', '[::ffff:169.254.169.254]'],
  ['mapped public', '[::ffff:8.8.8.8]'],
  ['compatible loopback', '[::127.0.0.1]'],
  ['compatible public', '[::8.8.8.8]'],
  ['translated', '[::ffff:0:127.0.0.1]'],
  ['NAT64 of loopback', '[64:ff9b::7f00:1]'],
  ['NAT64 of public', '[64:ff9b::8.8.8.8]'],
  ['local NAT64', '[64:ff9b:1::1]'],
  ['segment routing', '[5f00::1]'],
  ['not given out yet', '[4000::1]'],
  ['not given out yet', '[::2]'],
  // Names.
  ['a name without a domain', 'intranet'],
  ['a name of localhost', 'a.localhost'],
  ['localhost with a dot', 'localhost.'],
  ['a name with a dot behind', 'worker.example.'],
  ['a name with two dots behind', 'worker.example..'],
  ['multicast DNS', 'printer.local'],
  ['metadata of Google', 'metadata.google.internal'],
  ['short metadata of Google', 'metadata.goog'],
  ['metadata of Tencent', 'metadata.tencentyun.com'],
  ['metadata of old', 'metadata'],
  ['a home', 'nas.home.arpa'],
  ['a reverse name', '1.0.0.127.in-addr.arpa'],
  ['a company', 'wiki.corp'],
  ['Tor', 'abc.onion'],
] as const;

const PUBLIC = [
  'https://worker.example/hooks',
  'https://WORKER.example:443/hooks?a=b#c',
  'https://worker.example:8443/',
  'https://xn--bcher-kva.example/',
  'https://8.8.8.8/',
  'https://172.32.0.1/',
  'https://100.128.0.1/',
  'https://[2606:4700::1111]/',
  'https://[2a00::1]:1024/',
];

const MALFORMED = [
  '',
  'worker.example',
  '//worker.example/',
  'https:',
  'https:worker.example',
  'https:/worker.example/',
  'https:///worker.example/',
  'https:\\\\worker.example\\',
  'https://worker.example\\@127.0.0.1/',
  ' https://worker.example/',
  'https://worker.example/ ',
  'https://wor\tker.example/',
  'https://worker.example/\n',
  'https://worker.example/\u0000',
  'https://bücher.example/',
  'https://１２７.0.0.1/',
  'https://worker.example:99999/',
  'https://worker.example:a/',
  'https://[fe80::1%25eth0]/',
  'https://[fe80::1%eth0]/',
  'https://[::1/',
  'https://1.2.3.4.5/',
  'https://256.256.256.256/',
  'https://user@worker.example/',
  'https://user:password@worker.example/',
  'https://:@worker.example/',
  'https://@worker.example/',
  'https://127.0.0.1@worker.example/',
  'http://worker.example/',
  'ftp://worker.example/',
  'file:///etc/passwd',
  'gopher://worker.example/',
  'javascript:alert(1)',
  'data:text/plain,a',
  'unix:/run/docker.sock',
  'https://worker.example:80/',
  'https://worker.example:22/',
  'https://worker.example:0/',
  'https://worker.example:1023/',
  `https://worker.example/${'a'.repeat(2048)}`,
];

describe('a URL of a webhook', () => {
  it.each(PUBLIC)('%s may be called', (url) => {
    expect(strict.checkUrl(url)).toBeInstanceOf(URL);
  });

  it.each(MALFORMED)('%j may not, also in development', (url) => {
    expect(() => strict.checkUrl(url)).toThrow(REJECTED);
    expect(() => development.checkUrl(url)).toThrow(REJECTED);
  });

  it.each(NEVER)('%s, %s, may not, also in development', (_what, host) => {
    for (const url of [`https://${host}/hook`, `http://${host}/hook`, `https://${host}:8443/`]) {
      expect(() => strict.checkUrl(url)).toThrow(REJECTED);
      expect(() => development.checkUrl(url)).toThrow(REJECTED);
    }
  });

  it.each(LOOPBACK)('%s may be called in development alone, on every port', (host) => {
    for (const url of [`http://${host}/`, `https://${host}/`, `http://${host}:3000/hook`]) {
      expect(() => strict.checkUrl(url)).toThrow(REJECTED);
      expect(() => strict.checkUrl(url)).toThrow(/allowLoopbackWebhooks/);
      expect(development.checkUrl(url)).toBeInstanceOf(URL);
    }
  });
});

describe('an address that a name leads to', () => {
  const worker = new URL('https://worker.example/');
  const localhost = new URL('http://localhost:3000/');
  const bare = (host: string): string => host.replace(/^\[|\]$/g, '');
  const isIp = (host: string): boolean => /^\[|^\d+\.\d+\.\d+\.\d+$/.test(host);

  it.each(NEVER.filter(([, host]) => isIp(host)))('%s, %s, is refused', (_what, host) => {
    for (const policy of [strict, development]) {
      expect(() => policy.checkAddress(worker, bare(host))).toThrow(REJECTED);
      expect(() => policy.checkAddress(localhost, bare(host))).toThrow(REJECTED);
    }
  });

  it('is refused when it is no address, or has a zone', () => {
    for (const address of ['', 'worker.example', '1.2.3', 'fe80::1%eth0', '2606:4700::1111%1']) {
      expect(() => strict.checkAddress(worker, address)).toThrow(REJECTED);
    }
  });

  it('is this machine for localhost in development, and for no other name', () => {
    for (const address of ['127.0.0.1', '127.8.8.8', '::1']) {
      expect(() => development.checkAddress(localhost, address)).not.toThrow();
      expect(() => development.checkAddress(worker, address)).toThrow(REJECTED);
      expect(() => strict.checkAddress(localhost, address)).toThrow(REJECTED);
      expect(() => strict.checkAddress(worker, address)).toThrow(REJECTED);
    }
  });

  it('is nowhere else for localhost', () => {
    expect(() => development.checkAddress(localhost, '8.8.8.8')).toThrow(REJECTED);
  });

  it('may be public', () => {
    for (const address of ['8.8.8.8', '2606:4700::1111']) {
      expect(() => strict.checkAddress(worker, address)).not.toThrow();
    }
  });
});
