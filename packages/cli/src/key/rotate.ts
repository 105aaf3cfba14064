import { NodeClock, NodeRandom } from '@holdfast/core';
import type { KeyStatus } from '@holdfast/node';
import { askNode, followWork } from '../admin-work.ts';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { CommandError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';

export const keyRotate: Command = {
  name: 'key rotate',
  summary: 'let a running node go on under a new key; what is there is encrypted anew behind it',
  positionals: [],
  flags: {
    'key-file': {
      type: 'string',
      value: 'FILE',
      env: 'HOLDFAST_KEY_FILE',
      summary: "put a new key first into the node's key file, before the node reads it",
    },
    ...SERVER_FLAGS,
  },
  notes: [
    'Without --key-file the node only reads its keys anew: put the new one first, and keep the old',
    'ones behind it, until "holdfast key status" shows nothing under them.',
    'A rotation that was cut short is gone on with: no second key is made.',
  ],
  async run(call) {
    const clock = new NodeClock();
    const file = call.values.text('key-file');
    if (file !== undefined) {
      const before = await askNode<KeyStatus>(call, { method: 'GET', path: ['keys'] });
      await putNewKeyFirst(file, before);
    }
    const after = await followWork<KeyStatus>(
      call,
      { method: 'POST', path: ['keys', 'rotate'] },
      () => clock.monotonicMs(),
    );
    const active = after.keys.find((key) => key.active)?.id;
    if (file !== undefined) await assertTaken(file, active);
    if (call.json) await call.io.out(`${JSON.stringify(after)}\n`);
    else call.io.err(`new data is encrypted with key ${active}; see "holdfast key status"\n`);
    return EXIT.ok;
  },
};

/** Where the node does not know the first key of the file, an earlier rotation put it there. */
async function putNewKeyFirst(file: string, { source, keys }: KeyStatus): Promise<void> {
  if (source !== 'file') {
    throw new CommandError(EXIT.usage, 'INVALID_KEY', 'the keys of this node are in no file', {
      hint: 'put the new key first where they are, then run this without --key-file',
    });
  }
  const { keyFileIds, prependKey } = await import('@holdfast/node');
  const [first] = await keyFileIds(file);
  if (keys.some(({ id, active }) => active && id === first))
    await prependKey(file, new NodeRandom());
}

async function assertTaken(file: string, active: string | undefined): Promise<void> {
  const { keyFileIds } = await import('@holdfast/node');
  const [first] = await keyFileIds(file);
  if (first === active) return;
  throw new CommandError(
    EXIT.conflict,
    'INVALID_KEY',
    `the node goes on under key ${active}, and ${file} begins with ${first}`,
    { hint: 'name the key file that the node was started with' },
  );
}
