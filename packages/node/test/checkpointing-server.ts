/**
 * The server of the kill tests: a node as `serve` opens it, that makes a checkpoint every few
 * milliseconds, so that kills land in checkpoints, in merges and in the deletes behind them. It
 * says on stderr when it opens the directory and when a checkpoint begins and ends.
 */
import { parseArgs } from 'node:util';
import { nodeComponents, openNode } from '../src/index.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean' },
    port: { type: 'string', default: '0' },
    'long-poll-timeout-ms': { type: 'string', default: '2000' },
    'checkpoint-every-ms': { type: 'string', default: '60' },
  },
});

process.stderr.write('opens\n');
const node = await openNode(
  {
    dir: positionals[1],
    port: Number(values.port),
    longPollTimeoutMs: Number(values['long-poll-timeout-ms']),
  },
  nodeComponents(),
);
node.onFailed((error) => {
  process.stderr.write(`node failed: ${error.stack}\n`);
  process.exit(1);
});
const { url } = await node.listen();
process.stdout.write(`${JSON.stringify({ url })}\n`);

for (;;) {
  await new Promise((resolve) => setTimeout(resolve, Number(values['checkpoint-every-ms'])));
  process.stderr.write('checkpoint begins\n');
  try {
    await node.checkpoint();
    process.stderr.write('checkpoint ended\n');
  } catch (error) {
    // Out of room or of handles: given up whole, and tried again.
    process.stderr.write(`checkpoint ended: ${(error as { code?: string }).code}\n`);
  }
}
