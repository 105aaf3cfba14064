// The npm server as a process of its own: `node npm-server.mjs DIR` or `--memory`. It prints one
// JSON line with its URL, as `holdfast serve --json` does.
import { DurableStreamTestServer } from '@durable-streams/server';

// It logs to stdout, which carries the JSON line here.
console.log = console.info = () => undefined;
const where = process.argv[2];
const storage = where === '--memory' ? {} : { dataDir: where };
const server = new DurableStreamTestServer({ port: 0, ...storage });
const url = await server.start();
process.stdout.write(`${JSON.stringify({ url })}\n`);
process.on('SIGTERM', () => {
  void server.stop().finally(() => process.exit(0));
});
