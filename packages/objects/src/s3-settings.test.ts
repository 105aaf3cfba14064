import { describe, expect, it } from 'vitest';
import { parseS3Settings, type S3Settings } from './s3-settings.ts';

const base = (settings: Partial<S3Settings>, environment = {}): string =>
  parseS3Settings({ bucket: 'bucket', ...settings }, environment).base;

describe('where a bucket is', () => {
  it('at Amazon it has a host of its own, unless its name has dots', () => {
    expect(base({ region: 'eu-west-1' })).toBe('https://bucket.s3.eu-west-1.amazonaws.com');
    expect(base({ bucket: 'a.b' })).toBe('https://s3.us-east-1.amazonaws.com/a.b');
    expect(base({ pathStyle: true })).toBe('https://s3.us-east-1.amazonaws.com/bucket');
  });

  it('elsewhere it is in the path, unless told otherwise', () => {
    expect(base({ endpoint: 'https://s3.example:9000' })).toBe('https://s3.example:9000/bucket');
    expect(base({ endpoint: 'https://s3.example', pathStyle: false })).toBe(
      'https://bucket.s3.example',
    );
  });

  it('takes its region from the settings, then from the environment', () => {
    const environment = { AWS_REGION: 'eu-north-1', AWS_DEFAULT_REGION: 'x' };
    expect(parseS3Settings({ bucket: 'bucket' }, environment).region).toBe('eu-north-1');
    expect(base({ region: 'sa-east-1' }, environment)).toContain('sa-east-1');
  });

  it('has a prefix that ends in a slash, once', () => {
    const prefix = (text: string): string =>
      parseS3Settings({ bucket: 'bucket', prefix: text }, {}).prefix;
    expect([prefix(''), prefix('a'), prefix('a/b/')]).toEqual(['', 'a/', 'a/b/']);
  });

  for (const settings of [
    { bucket: '' },
    { bucket: 'a/b' },
    { bucket: 'a?b' },
    { region: 'a.evil.example/' },
    { prefix: '/a' },
    { prefix: 'a//b' },
    { prefix: '../a' },
    { endpoint: 'ftp://x' },
    { endpoint: 'x' },
    { endpoint: 'https://user:secret@x' },
    { endpoint: 'https://x/path' },
    { endpoint: 'https://x?query' },
    { endpoint: 'http://10.0.0.1:9000' },
    { partBytes: 5 * 1024 * 1024 - 1 },
    { uploads: 0 },
    { silenceMs: Number.NaN },
  ] as readonly Partial<S3Settings>[]) {
    it(`refuses ${JSON.stringify(settings)}`, () => {
      expect(() => base(settings)).toThrow(expect.objectContaining({ code: 'INVALID_SETTINGS' }));
    });
  }

  it('speaks plain HTTP to this machine, and to others when it was allowed', () => {
    expect(base({ endpoint: 'http://127.0.0.1:9000' })).toBe('http://127.0.0.1:9000/bucket');
    expect(base({ endpoint: 'http://[::1]:9000' })).toBe('http://[::1]:9000/bucket');
    expect(base({ endpoint: 'http://10.0.0.1', allowPlainHttp: true })).toContain('10.0.0.1');
  });

  it('never repeats the secret of an endpoint', () => {
    try {
      base({ endpoint: 'https://user:secret@host' });
      expect.unreachable();
    } catch (error) {
      expect(String(error)).not.toContain('secret');
    }
  });
});
