import { formatKeyId, NodeRandom } from '@holdfast/core';
import { JSON_FLAG, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';

export const keyGenerate: Command = {
  name: 'key generate',
  summary: 'make a new key in a new file that only you can read',
  positionals: [{ name: 'FILE', required: true }],
  flags: JSON_FLAG,
  notes: [
    'Keep a copy of the file elsewhere, and not beside the backup: without it nothing that was',
    'encrypted can ever be read.',
  ],
  async run({ io, json, arguments: [file = ''] }) {
    const { generateKeyFile } = await import('@holdfast/node');
    const id = formatKeyId(await generateKeyFile(file, new NodeRandom()));
    if (json) await io.out(`${JSON.stringify({ file, id })}\n`);
    else
      io.err(`key ${id} in ${file}: keep a copy of it elsewhere, nothing can be read without it\n`);
    return EXIT.ok;
  },
};
