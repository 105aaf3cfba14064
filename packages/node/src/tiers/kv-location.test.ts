import { hasCode } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseKvLocation } from './kv-location.ts';

const CONTEXT = { setting: 'tiers.orders.backup', engineStore: 'orders' };
const idOf = (text: string): string => parseKvLocation(text, CONTEXT).id;

function refusalOf(text: string): string {
  try {
    parseKvLocation(text, CONTEXT);
  } catch (error) {
    if (hasCode(error, 'INVALID_SETTINGS')) return error.message;
    throw error;
  }
  throw new Error(`taken: ${text}`);
}

describe('the place of a tier', () => {
  it.each([
    ['engine:', 'engine:orders'],
    ['engine:other', 'engine:other'],
    ['memory:', 'memory:'],
    ['lmdb:/srv/a/../b', 'lmdb:/srv/b'],
    ['files:///srv/b/', 'files:/srv/b'],
    ['SQLite:/srv/b', 'sqlite:/srv/b'],
    ['postgres://u:p@Db.Example/app', 'postgres://db.example:5432/app?table=holdfast_kv'],
    ['postgresql://db:5433/app?table=x&sslmode=require', 'postgres://db:5433/app?table=x'],
    ['postgres://x/app?host=/run/a', 'postgres://%2Frun%2Fa:5432/app?table=holdfast_kv'],
    ['redis://:p@cache', 'redis://cache:6379/0?name=holdfast'],
    ['rediss://cache:7000/3#pages', 'redis://cache:7000/3?name=pages'],
    ['redis://cache?name=pages', 'redis://cache:6379/0?name=pages'],
    ['nats://b:4222,A:4222/bucket', 'nats://a:4222,b:4222/bucket'],
    ['s3://Bucket/a/b', 's3://Bucket/a/b'],
    [
      's3://b/p?endpoint=http://127.0.0.1:9000/&region=eu',
      's3://b/p?endpoint=http://127.0.0.1:9000',
    ],
  ])('%s is %s', (text, id) => {
    expect(idOf(text)).toBe(id);
  });

  it('is the same whoever asks for it, and shows nobody', () => {
    const [one, other] = ['a:secret1', 'b:secret2'].map((user) =>
      parseKvLocation(`postgres://${user}@db/app?table=t`, CONTEXT),
    );
    expect(one?.id).toBe(other?.id);
    expect(one).toMatchObject({ url: 'postgres://a:secret1@db/app', table: 't' });
    expect(one?.id).not.toMatch(/secret|a:/);
  });

  it.each([
    ['orders', 'must be one of'],
    ['postgre://u:secret@h/d', 'did you mean postgres:?'],
    ['http://u:secret@h/d', 'cannot be reached over http'],
    ['lmdb:', 'names no folder'],
    ['lmdb:~/x', 'only a shell knows'],
    ['memory:x', 'one place'],
    ['engine:a b', 'names no store'],
    ['postgres:secret', 'is no URL'],
    ['postgres://u:secret@h', 'names no database'],
    ['postgres://u:secret@h/d?table=Robert";DROP', 'a table that is not'],
    ['postgres://u:secret@h/d#t', 'has a #'],
    ['postgres://u:1%secret@h/d', 'a % that is not written %25'],
    ['redis://h#%secret', 'a name that is not'],
    ['nats://h?token=secret/b', 'takes none here'],
    ['redis://u:secret@h/x', 'database that is no number'],
    ['redis://u:secret@h?name=a b', 'a name that is not'],
    ['nats://u:secret@h/b', 'must not hold credentials'],
    ['nats://h:4222', 'names no bucket'],
    ['nats:///b', 'names no server'],
    ['s3://', 'names no bucket'],
    ['s3://u:secret@b/p', 'must not hold credentials'],
    ['s3://b/p?endpont=http://h', 'did you mean endpoint?'],
    ['s3://b/p?endpoint=http://u:secret@h', 'no http URL without credentials'],
    ['s3://b/p?pathStyle=yes', 'pathStyle that is not true or false'],
  ])('%s is refused, and not repeated: %s', (text, reason) => {
    const message = refusalOf(text);
    expect(message).toContain(reason);
    expect(message).toContain('setting=tiers.orders.backup');
    expect(message).not.toContain('secret');
  });

  it('is a place or INVALID_SETTINGS, whatever is written', () => {
    const schemes = ['engine', 'lmdb', 'postgres', 'redis', 'nats', 's3', 'file', ''];
    fc.assert(
      fc.property(fc.constantFrom(...schemes), fc.string(), fc.webUrl(), (scheme, text, url) => {
        for (const written of [`${scheme}:${text}`, `${scheme}://${text}`, url, text]) {
          try {
            expect(idOf(written)).toBe(idOf(written));
          } catch (error) {
            if (!hasCode(error, 'INVALID_SETTINGS')) throw error;
          }
        }
      }),
    );
  });
});
