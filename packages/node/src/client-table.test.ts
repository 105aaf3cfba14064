import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { LIMITS } from '@holdfast/core';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { ClientTable, type ClientLimits } from './client-table.ts';

const BOUNDS: ClientLimits = {
  maxConnectionsPerClient: 2,
  maxRequestsPerClient: 2,
  maxLiveReadersPerClient: 2,
  requestsPerSecondPerClient: 0,
  receivedBytesPerSecondPerClient: 0,
};

function setUp(limits: Partial<ClientLimits> = {}) {
  const clock = new SimClock(new SeededRandom(1));
  return { clock, table: new ClientTable(clock, { ...BOUNDS, ...limits }) };
}

const from = (remoteAddress: string): IncomingMessage =>
  ({ socket: { remoteAddress } }) as unknown as IncomingMessage;
const socketOf = (remoteAddress: string): Socket => ({ remoteAddress }) as unknown as Socket;
const QUOTA = expect.objectContaining({ code: 'CLIENT_QUOTA_EXCEEDED' }) as Error;
const RATE = expect.objectContaining({ code: 'RATE_LIMITED' }) as Error;

describe('a client', () => {
  it('has as many live readers as one may; others have theirs', () => {
    const { table } = setUp();
    const readers = [from('192.0.2.1'), from('192.0.2.1')];
    for (const reader of readers) table.enter(reader);
    expect(() => table.enter(from('192.0.2.1'))).toThrow(QUOTA);
    table.enter(from('192.0.2.2'));
    table.leave(readers[0] as IncomingMessage);
    table.leave(readers[0] as IncomingMessage); // once is once
    table.enter(from('192.0.2.1'));
    expect(() => table.enter(from('192.0.2.1'))).toThrow(QUOTA);
  });

  it('is counted out with whom it was counted for, when its address is not known any more', () => {
    const { table } = setUp();
    const reader = from('192.0.2.1');
    table.enter(reader);
    Object.assign(reader.socket, { remoteAddress: undefined });
    table.leave(reader);
    expect(table.sizes).toEqual({ active: 0, idle: 0 });
  });

  it('of IPv6 is a whole network', () => {
    const { table } = setUp();
    table.connect(socketOf('2001:db8::1'));
    table.connect(socketOf('2001:db8::2'));
    expect(() => table.connect(socketOf('2001:db8::3'))).toThrow(QUOTA);
    table.connect(socketOf('2001:db8:0:1::1'));
  });

  it('of loopback is nobody, however much it has', () => {
    const { table } = setUp({ requestsPerSecondPerClient: 1 });
    for (let n = 0; n < 100; n++) {
      expect(table.connect(socketOf('127.0.0.1'))).toBeUndefined();
      expect(table.begin(from('::1'))).toBeUndefined();
      table.enter(from('127.0.0.1'));
    }
    expect(table.sizes).toEqual({ active: 0, idle: 0 });
  });

  it('that is refused is not counted', () => {
    const { table } = setUp();
    const clients = [table.begin(from('192.0.2.1')), table.begin(from('192.0.2.1'))];
    for (let n = 0; n < 5; n++) expect(() => table.begin(from('192.0.2.1'))).toThrow(QUOTA);
    for (const client of clients) if (client !== undefined) table.end(client, 0);
    expect(table.sizes).toEqual({ active: 0, idle: 0 });
  });
});

describe('rates', () => {
  it('have a burst, then come steadily, and say how long to wait', async () => {
    const { clock, table } = setUp({ requestsPerSecondPerClient: 2 });
    const ask = (): void => {
      const client = table.begin(from('192.0.2.1'));
      if (client !== undefined) table.end(client, 0);
    };
    for (let n = 0; n < 2 * LIMITS.rateBurstSeconds; n++) ask();
    expect(ask).toThrow(RATE);
    await clock.advance(500);
    ask();
    expect(ask).toThrow(RATE);
  });

  it('of bytes may be owed, by a body that came whole', async () => {
    const { clock, table } = setUp({ receivedBytesPerSecondPerClient: 100 });
    const first = table.begin(from('192.0.2.1'));
    if (first !== undefined) table.end(first, 1_000);
    const refusal = (): unknown => {
      try {
        return table.begin(from('192.0.2.1'));
      } catch (error) {
        return (error as { details: { retryAfterSeconds: number } }).details.retryAfterSeconds;
      }
    };
    expect(refusal()).toBe(9); // 1000 less the 200 of the burst, and one to begin with
    await clock.advance(9_000);
    expect(table.begin(from('192.0.2.1'))).toBeDefined();
  });

  it('are remembered of those who left, of a bounded number of them', async () => {
    const { clock, table } = setUp({ requestsPerSecondPerClient: 1 });
    const ask = (address: string): void => {
      const client = table.begin(from(address));
      if (client !== undefined) table.end(client, 0);
    };
    for (let n = 0; n < LIMITS.maxRememberedClients + 10; n++) {
      ask(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`);
    }
    expect(table.sizes).toEqual({ active: 0, idle: LIMITS.maxRememberedClients });
    // Who rests long enough owes nothing and is forgotten as others come.
    await clock.advance(60_000);
    ask('192.0.2.1');
    expect(table.sizes.idle).toBeLessThanOrEqual(LIMITS.maxRememberedClients);
  });
});
