/** `holdfast rebalance`: the same data over another number of shards, with no node running. */
import { KEY_FLAGS, keySettings } from './backup/place-flags.ts';
import { JSON_FLAG, type Command } from './command.ts';
import { usageError } from './command-error.ts';
import { EXIT } from './exit-codes.ts';
import { ProgressLine } from './progress.ts';

const DEFAULT_DIR = './data';

export const rebalance: Command = {
  name: 'rebalance',
  summary: 'spread a data directory over another number of shards; nothing may have it open',
  positionals: [{ name: 'DIR', required: false }],
  flags: {
    shards: { type: 'string', value: 'N', summary: 'a power of two from 1 to 256' },
    ...KEY_FLAGS,
    ...JSON_FLAG,
  },
  notes: ['A crash on the way leaves the old count or the new one, never something between.'],
  async run(call) {
    const {
      io,
      arguments: [given],
      values,
      json,
    } = call;
    const dir = given ?? (io.env['HOLDFAST_DIR'] || DEFAULT_DIR);
    const shardCount = shardCountOf(values.text('shards'));
    const { nodeComponents, rebalanceDirectory } = await import('@holdfast/node');
    const components = nodeComponents();
    const progress = new ProgressLine(io, 'rebalance', 'rows', () =>
      components.clock.monotonicMs(),
    );
    const report = await rebalanceDirectory(
      { dir, shardCount, ...keySettings(call) },
      components,
      (done, total) => progress.update(done, total),
    ).finally(() => progress.end());
    if (json) await io.out(`${JSON.stringify({ dir, ...report })}\n`);
    else io.err(`rebalanced: ${dir} from ${report.from} to ${report.to} shards\n`);
    return EXIT.ok;
  },
};

function shardCountOf(text: string | undefined): number {
  if (text === undefined) throw usageError('--shards is missing', 'like --shards 8');
  const count = Number(text);
  if (!/^\d{1,3}$/.test(text) || count < 1 || count > 256 || (count & (count - 1)) !== 0) {
    throw usageError('--shards must be a power of two from 1 to 256');
  }
  return count;
}
