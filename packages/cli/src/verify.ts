/** `holdfast verify`: every byte of a directory against its checksums, with no node running. */
import { KEY_FLAGS, keySettings } from './backup/place-flags.ts';
import { JSON_FLAG, type Command } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { ProgressLine } from './progress.ts';

const DEFAULT_DIR = './data';

export const verify: Command = {
  name: 'verify',
  summary: 'check every byte of a data directory; nothing may have it open',
  positionals: [{ name: 'DIR', required: false }],
  flags: { ...KEY_FLAGS, ...JSON_FLAG },
  notes: ['Ends with 0 when everything is whole and with 7 when something is damaged.'],
  async run(call) {
    const {
      io,
      arguments: [given],
      json,
    } = call;
    const dir = given ?? (io.env['HOLDFAST_DIR'] || DEFAULT_DIR);
    const { nodeComponents, verifyDirectory } = await import('@holdfast/node');
    const components = nodeComponents();
    const progress = new ProgressLine(io, 'verify', 'bytes', () => components.clock.monotonicMs());
    const report = await verifyDirectory({ dir, ...keySettings(call) }, components, (done, total) =>
      progress.update(done, total),
    ).finally(() => progress.end());
    const { problems } = report;
    if (json) await io.out(`${JSON.stringify({ dir, ok: problems.length === 0, problems })}\n`);
    else {
      for (const { path, position, message } of problems) {
        await io.out(`${path}:${position}: ${message}\n`);
      }
      io.err(problems.length === 0 ? `whole: ${dir}\n` : damaged(dir, problems.length));
    }
    return problems.length === 0 ? EXIT.ok : EXIT.integrity;
  },
};

function damaged(dir: string, count: number): string {
  return (
    `damaged: ${dir} (${count} ${count === 1 ? 'place' : 'places'})\n` +
    '  nothing was changed: keep a copy, start the node, which mends what it has a second copy of,\n' +
    '  and restore from a backup what it then still names\n'
  );
}
