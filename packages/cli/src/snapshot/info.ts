import type { SnapshotDetails } from '@holdfast/node';
import { askNode } from '../admin-work.ts';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { FROM_FLAGS, withPlace } from './from-place.ts';
import { factLines } from './snapshot-text.ts';

export const snapshotInfo: Command = {
  name: 'snapshot info',
  summary: 'show a snapshot and its files',
  positionals: [{ name: 'ID', required: true }],
  flags: { ...FROM_FLAGS, ...SERVER_FLAGS },
  async run(call) {
    const {
      io,
      json,
      values,
      arguments: [id = ''],
    } = call;
    const place = values.text('from');
    const { files, ...facts } =
      place === undefined
        ? await askNode<SnapshotDetails>(call, { method: 'GET', path: ['snapshots', id] })
        : await withPlace(call, place, (backup, { signal }) => backup.info(id, { signal }));
    if (json) await io.out(`${JSON.stringify({ ...facts, files })}\n`);
    else {
      const rows = files.map(({ name, bytes, digest }) => `${bytes}\t${digest}\t${name}\n`);
      await io.out(factLines({ ...facts, files: files.length }) + rows.join(''));
    }
    return EXIT.ok;
  },
};
