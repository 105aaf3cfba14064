import { SERVER_FLAGS, type Command, type CommandCall, type FlagValues } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { readWhole } from '../input.ts';
import { NodeClient } from '../node-client.ts';
import { countFlag } from './kv-text.ts';

export const kvPut: Command = {
  name: 'kv put',
  summary: 'put a value under a key; without VALUE it is standard input',
  positionals: [
    { name: 'STORE', required: true },
    { name: 'KEY', required: true },
    { name: 'VALUE', required: false },
  ],
  flags: {
    file: { type: 'string', value: 'FILE', summary: 'the value; - is standard input' },
    'if-absent': { type: 'boolean', summary: 'only when there is no entry of this key' },
    'if-version': { type: 'string', value: 'N', summary: 'only when the entry has this version' },
    ttl: { type: 'string', value: 'SECONDS', summary: 'delete it after this long' },
    'expires-at': { type: 'string', value: 'TIME', summary: 'delete it at this time (RFC 3339)' },
    ...SERVER_FLAGS,
  },
  notes: ['Prints the version, for --if-version of the next one.'],
  async run(call) {
    const {
      io,
      arguments: [store = '', key = ''],
      values,
      json,
    } = call;
    const headers = { ...conditionOf(values), ...expiryOf(values) };
    const body = await valueOf(call);
    const response = await NodeClient.of(call).entry(store, key, { method: 'PUT', headers, body });
    const version = Number(response.headers.get('holdfast-kv-version'));
    await io.out(json ? `${JSON.stringify({ store, key, version })}\n` : `${version}\n`);
    return EXIT.ok;
  },
};

async function valueOf({ io, arguments: words, values }: CommandCall): Promise<Uint8Array> {
  const [, , value] = words;
  const file = values.text('file');
  if (value !== undefined && file !== undefined) {
    throw usageError('give the value as an argument or as --file, not both');
  }
  if (value !== undefined && value !== '-') return Buffer.from(value);
  return readWhole(io, file ?? '-');
}

function conditionOf(values: FlagValues): Readonly<Record<string, string | undefined>> {
  const version = countFlag('if-version', values.text('if-version'));
  if (values.flag('if-absent') && version !== undefined) {
    throw usageError('--if-absent and --if-version exclude each other');
  }
  return {
    'if-none-match': values.flag('if-absent') ? '*' : undefined,
    'if-match': version === undefined ? undefined : `"${version}"`,
  };
}

function expiryOf(values: FlagValues): Readonly<Record<string, string | undefined>> {
  const ttl = values.text('ttl');
  const expiresAt = values.text('expires-at');
  if (ttl !== undefined && expiresAt !== undefined) {
    throw usageError('--ttl and --expires-at exclude each other');
  }
  const ttlMs = ttl === undefined ? undefined : Math.round(Number(ttl) * 1000);
  const isTime = ttlMs === undefined || (Number.isSafeInteger(ttlMs) && ttlMs > 0);
  if (!isTime || ttl?.trim() === '') throw usageError('--ttl must be a number of seconds above 0');
  return {
    'holdfast-kv-ttl-ms': ttlMs?.toString(),
    'holdfast-kv-expires-at': expiresAt,
  };
}
