import { describe, expect, it } from 'vitest';
import { natsError } from './nats/nats-errors.ts';
import { postgresError } from './postgres/postgres-errors.ts';
import { redisError } from './redis/redis-errors.ts';

function postgres(code: string): Error {
  return Object.assign(new Error('words'), { severity: 'ERROR', code });
}

function redis(message: string): Error {
  return Object.assign(new Error(message), { name: 'ReplyError' });
}

function nats(code: number): Error {
  return Object.assign(new Error('words'), { name: 'JetStreamApiError', code });
}

describe('errors of servers', () => {
  it.each([
    ['no answer', postgresError(new Error('Connection terminated'), 'unknown'), 'unknown'],
    ['nothing at all', postgresError(undefined, 'unknown'), 'unknown'],
    ['an end of the server', postgresError(postgres('57P01'), 'unknown'), 'unknown'],
    ['a broken connection', postgresError(postgres('08006'), 'unknown'), 'unknown'],
    ['a cancelled statement', postgresError(postgres('57014'), 'unknown'), 'none'],
    ['no reply', redisError(new Error('Connection is closed.'), 'unknown'), 'unknown'],
    ['nothing at all', redisError(undefined, 'unknown'), 'unknown'],
    [
      'what was never sent',
      redisError(new Error("Stream isn't writeable and so on"), 'unknown'),
      'none',
    ],
    ['a server that loads', redisError(redis('LOADING Redis is loading'), 'unknown'), 'none'],
    ['no acknowledgement', natsError(new Error('timeout'), 'unknown'), 'unknown'],
    ['nothing at all', natsError(undefined, 'unknown'), 'unknown'],
    ['an answer', natsError(nats(10058), 'unknown'), 'none'],
  ])('%s says what may have happened', (_, error, effect) => {
    expect(error).toMatchObject({ code: 'STORAGE_UNAVAILABLE', effect });
  });

  it.each([
    [postgresError(postgres('53100'), 'unknown'), 'DISK_FULL'],
    [postgresError(postgres('28P01'), 'unknown'), 'ACCESS_DENIED'],
    [postgresError(postgres('42501'), 'unknown'), 'ACCESS_DENIED'],
    [postgresError(postgres('XX001'), 'unknown'), 'CHECKSUM_MISMATCH'],
    [postgresError(postgres('42P01'), 'unknown'), 'FILE_MISSING'],
    [redisError(redis('OOM command not allowed'), 'unknown'), 'DISK_FULL'],
    [redisError(redis('NOAUTH Authentication required.'), 'unknown'), 'ACCESS_DENIED'],
    [natsError(nats(10077), 'unknown'), 'DISK_FULL'],
  ])('%# are told by their kind, and nothing happened', (error, code) => {
    expect(error).toMatchObject({ code, effect: 'none' });
  });
});
