/** The programs of docs/SUBSCRIPTIONS.md are run as they stand there, against the real server. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { expectStatus, JSON_TYPE } from './http-request.ts';
import { eventually, SubscriptionClient } from './subscription-client.ts';
import { useServer } from './use-server.ts';

const TOKEN = 'not-a-real-secret';
const GUIDE = readFileSync(
  fileURLToPath(new URL('../../../docs/SUBSCRIPTIONS.md', import.meta.url)),
  'utf8',
);
/** What the guide leaves to its reader: here, showing what there is to do. */
const WORK = `
async function work(path, offset) {
  const read = await fetch(\`http://127.0.0.1:4437/v1/stream/\${path}?offset=\${offset}\`);
  console.log(JSON.stringify([path, await read.json()]));
}
`;
const server = useServer({
  args: ['--allow-loopback-webhooks'],
  env: { HOLDFAST_CLAIM_TOKENS: TOKEN },
});
const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

function programs(): string[] {
  return [...GUIDE.matchAll(/^```js\n(.*?)^```/gms)].map((match) => match[1] as string);
}

/** Starts a program; gives the lines it has printed so far. */
function run(program: string, port: number): () => string[] {
  const text = (WORK + program)
    .replaceAll('4437', String(server().port))
    .replaceAll('9999', String(port));
  const child = spawn(process.execPath, ['--input-type=module', '--eval', text], {
    env: { ...process.env, NODE_OPTIONS: '', CLAIM_TOKEN: TOKEN },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (printed += part));
  return () => printed.split('\n').filter((line) => line !== '');
}

async function freePort(): Promise<number> {
  const probe = net.createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function worked(dir: string, lines: () => string[]): Promise<void> {
  const url = server().stream(`${dir}/1`);
  await expectStatus(201, 'PUT', url, { headers: JSON_TYPE });
  const { nextOffset } = await expectStatus(204, 'POST', url, {
    headers: JSON_TYPE,
    body: '{"total":42}',
  });
  await eventually('the cursor is at the tail', async () => {
    const { streams } = await new SubscriptionClient(server()).show(dir);
    return streams[0]?.acked_offset === nextOffset ? true : undefined;
  });
  expect(lines()).toContain(`["${dir}/1",[{"total":42}]]`);
}

it('the receiver of webhooks takes what is genuine, and refuses what is not', async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/hooks`;
  const client = new SubscriptionClient(server());
  const lines = run(programs()[0] as string, port);
  const forged = await eventually('it listens', () =>
    fetch(url, {
      method: 'POST',
      headers: { 'webhook-signature': `t=${Math.floor(Date.now() / 1000)},kid=ds_x,ed25519=AA` },
      body: '{}',
    }).catch(() => undefined),
  );
  expect(forged.status).toBe(401);
  await client.put('orders', { type: 'webhook', pattern: 'orders/*', webhook: { url } });
  await worked('orders', lines);
});

it('the worker of pull-wake claims, works and acks', async () => {
  const client = new SubscriptionClient(server());
  await expectStatus(201, 'PUT', server().stream('wake/pool'), { headers: JSON_TYPE });
  await client.put('workers', {
    type: 'pull-wake',
    pattern: 'workers/*',
    wake_stream: 'wake/pool',
  });
  const loop = 'for (;;) { await onWake(); await new Promise((r) => setTimeout(r, 50)); }';
  const lines = run(`${programs()[1] as string}\n${loop}`, 0);
  await worked('workers', lines);
});
