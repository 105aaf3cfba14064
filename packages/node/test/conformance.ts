/**
 * The published protocol suite, unchanged, against one way of running the server. Each way has
 * its own test file, because the suite registers its tests once per module.
 */
import { runConformanceTests } from '@durable-streams/server-conformance-tests';
import { afterAll, beforeAll, describe } from 'vitest';
import { ServerProcess, type ServerSettings } from './server-process.ts';

/** The suite waits for one long-poll to time out in several tests. */
const LONG_POLL_TIMEOUT_MS = 500;
const START_TIMEOUT_MS = 120_000;
/** The suite's receivers are on this machine, and its workers claim without a token. */
const SUBSCRIPTION_ARGS = ['--allow-loopback-webhooks', '--open-claims'];

export function conformance(
  name: string,
  settings: ServerSettings,
  prepare: (server: ServerProcess) => Promise<void> = () => Promise.resolve(),
): void {
  // The suite reads `baseUrl` when a test runs, after `beforeAll` has filled it in.
  const options = {
    baseUrl: '',
    longPollTimeoutMs: LONG_POLL_TIMEOUT_MS,
    subscriptions: true,
  };
  let server: ServerProcess | undefined;

  beforeAll(async () => {
    server = await ServerProcess.start({
      ...settings,
      args: [...SUBSCRIPTION_ARGS, ...(settings.args ?? [])],
      longPollTimeoutMs: LONG_POLL_TIMEOUT_MS,
    });
    await prepare(server);
    options.baseUrl = server.url;
  }, START_TIMEOUT_MS);

  afterAll(async () => {
    await server?.dispose();
  });

  describe(`protocol suite, ${name}`, () => {
    runConformanceTests(options);
  });
}
