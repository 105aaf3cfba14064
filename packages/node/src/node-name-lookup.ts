/**
 * Every address of a receiver's name, asked of the name servers directly. The system's own lookup
 * runs in one of two threads that all lookups of the process share, for up to half a minute when a
 * zone is dead: a few dead names would hold up the deliveries to everybody, and leave more lookups
 * behind than ever end. What the system knows besides (its hosts file, names of the local network)
 * is nowhere a webhook may go; only `localhost` is asked of it.
 */
import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { Resolver } from 'node:dns/promises';

/** Of one question to one server; doubles with the second try. */
const QUESTION_MS = 2_000;
const TRIES = 2;

export type NameLookup = (hostname: string) => Promise<readonly LookupAddress[]>;

/** @param servers `address:port`, for tests. Absent: the system's. */
export function nameLookup(servers?: readonly string[]): NameLookup {
  return (hostname) =>
    hostname === 'localhost' ? lookupSystem(hostname) : askServers(hostname, servers);
}

async function askServers(
  hostname: string,
  servers: readonly string[] | undefined,
): Promise<readonly LookupAddress[]> {
  // One for each name: it reads what the name servers are, and they may change while we run.
  const resolver = new Resolver({ timeout: QUESTION_MS, tries: TRIES });
  if (servers !== undefined) resolver.setServers(servers);
  const [four, six] = await Promise.allSettled([
    resolver.resolve4(hostname),
    resolver.resolve6(hostname),
  ]);
  const found: LookupAddress[] = [];
  if (four.status === 'fulfilled')
    for (const address of four.value) found.push({ address, family: 4 });
  if (six.status === 'fulfilled')
    for (const address of six.value) found.push({ address, family: 6 });
  if (found.length === 0 && four.status === 'rejected') throw four.reason;
  return found;
}

function lookupSystem(hostname: string): Promise<readonly LookupAddress[]> {
  return new Promise((resolve, reject) => {
    systemLookup(hostname, { all: true, verbatim: true }, (error, addresses) => {
      if (error === null) resolve(addresses);
      else reject(error);
    });
  });
}
