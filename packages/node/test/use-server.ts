/** One server for all tests of a file or a `describe`: started before them, disposed after. */
import { afterAll, beforeAll } from 'vitest';
import { ServerProcess, type ServerSettings } from './server-process.ts';

const START_TIMEOUT_MS = 60_000;

export function useServer(settings: ServerSettings = {}): () => ServerProcess {
  let server: ServerProcess | undefined;
  beforeAll(async () => {
    server = await ServerProcess.start(settings);
  }, START_TIMEOUT_MS);
  afterAll(() => server?.dispose());
  return () => {
    if (server === undefined) throw new Error('the server is not started yet');
    return server;
  };
}
