import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { readWhole } from '../input.ts';
import { NodeClient } from '../node-client.ts';

export const kvBatch: Command = {
  name: 'kv batch',
  summary: 'do several operations, all or none',
  positionals: [{ name: 'STORE', required: true }],
  flags: {
    file: { type: 'string', value: 'FILE', summary: 'the operations; default: standard input' },
    ...SERVER_FLAGS,
  },
  notes: [
    'One operation per line: {"type":"put","key":"a","text":"1"} or {"type":"del","key":"b"}.',
    'Also value (base64), ifVersion, ifAbsent, ttlMs and expiresAt. See docs/KV.md.',
    'Prints one line for each: changed or unchanged, and the version.',
  ],
  async run(call) {
    const {
      io,
      arguments: [store = ''],
      values,
      json,
    } = call;
    const input = Buffer.from(await readWhole(io, values.text('file') ?? '-')).toString('utf8');
    const lines = input.split('\n').filter((line) => line.trim() !== '');
    const response = await NodeClient.of(call).store(store, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Buffer.from(`{"operations":[${lines.join(',\n')}]}`),
    });
    const { acks } = (await response.json()) as { readonly acks: readonly Ack[] };
    for (const ack of acks) {
      const text = `${ack.changed ? 'changed' : 'unchanged'}\t${ack.version}`;
      await io.out(`${json ? JSON.stringify(ack) : text}\n`);
    }
    return EXIT.ok;
  },
};

interface Ack {
  readonly changed: boolean;
  readonly version: number;
}
