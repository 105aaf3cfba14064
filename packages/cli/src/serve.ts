/** `holdfast serve`: a node of its own, from the first line to the last request. */
import type { HoldfastError } from '@holdfast/core';
import type { HoldfastNode } from '@holdfast/node';
import { CLAIM_TOKENS_FILE_FLAG, withClaimTokens } from './claim-tokens-file.ts';
import { JSON_FLAG, type Command, type CommandCall } from './command.ts';
import { usageError } from './command-error.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { serveSettings, SETTING_FLAGS } from './serve-settings.ts';
import { TIERS_FILE_FLAG, withTiers } from './tiers-file.ts';
import { VERSION } from './version.ts';

const LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

export const serve: Command = {
  name: 'serve',
  summary: 'run a node and serve it over HTTP',
  positionals: [{ name: 'DIR', required: false }],
  flags: {
    ...SETTING_FLAGS,
    ...CLAIM_TOKENS_FILE_FLAG,
    ...TIERS_FILE_FLAG,
    'log-level': {
      type: 'string',
      value: 'LEVEL',
      env: 'HOLDFAST_LOG_LEVEL',
      summary: `${LEVELS.join(', ')} (default info)`,
    },
    json: {
      ...JSON_FLAG.json,
      summary: 'print one JSON line with url and dataDir, once it listens',
    },
  },
  notes: [
    'DIR is the data directory (default ./data, or HOLDFAST_DIR).',
    'Ctrl-C finishes what is under way and ends with 0; a second one ends at once.',
  ],
  async run(call) {
    const settings = await withTiers(call, await withClaimTokens(call, serveSettings(call)));
    const level = logLevel(call);
    // Loaded here: the client commands have no use for a database.
    const { assertListenable, createPinoLogger, nodeComponents, openNode } =
      await import('@holdfast/node');
    const { io } = call;
    const colour = io.stderrIsTerminal && !io.env['NO_COLOR'];
    const logger = await createPinoLogger(
      { level, pretty: io.stderrIsTerminal, colour },
      { write: (line) => io.err(line) },
    );
    if (settings.backup !== undefined) await assertListenable(settings);
    const interrupted = interruption(call);
    const node = await openNode(settings, { ...nodeComponents(), logger });
    try {
      const { url } = await node.listen();
      await announce(call, node, url);
      const failure = await Promise.race([interrupted.happened, failureOf(node)]);
      if (failure === undefined) return await stop(call, node);
      logger.error('node-failed', { code: failure.code, message: failure.message });
      if (failure.kind === 'fenced') throw failure; // not a fault of this machine: told as such
      return EXIT.failure;
    } finally {
      await node.close();
      interrupted.forget();
    }
  },
};

function logLevel(call: CommandCall): (typeof LEVELS)[number] {
  const text = call.values.text('log-level') ?? 'info';
  const level = LEVELS.find((one) => one === text);
  if (level === undefined) throw usageError(`--log-level must be one of ${LEVELS.join(', ')}`);
  return level;
}

/** Heard from the start: a signal while the log is being replayed is not lost. */
function interruption(call: CommandCall): { happened: Promise<undefined>; forget: () => void } {
  let forget = (): void => undefined;
  const happened = new Promise<undefined>((resolve) => {
    forget = call.io.onInterrupt(() => resolve(undefined));
  });
  return { happened, forget };
}

function failureOf(node: HoldfastNode): Promise<HoldfastError> {
  return new Promise((resolve) => node.onFailed(resolve));
}

async function announce(call: CommandCall, node: HoldfastNode, url: string): Promise<void> {
  const { io } = call;
  const dataDir = node.settings.dir ?? null;
  if (call.json) {
    await io.out(`${JSON.stringify({ url, dataDir, version: VERSION, pid: io.pid })}\n`);
    return;
  }
  const stream = `${url}${node.settings.basePath}chat/1`;
  const type = "-H 'Content-Type: application/json'";
  io.err(
    [
      '',
      `  holdfast ${VERSION}`,
      `  data        ${dataDir ?? 'in memory'}`,
      `  durability  ${dataDir === null ? 'none: all is gone when this process ends' : 'an answer means it is on the disk'}`,
      ...protection(node),
      `  url         ${url}`,
      '',
      '  Paste into another terminal:',
      `    curl -X PUT ${type} ${stream}`,
      `    curl -X POST ${type} -d '{"hello":"world"}' ${stream}`,
      `    curl -N '${stream}?offset=-1&live=sse'`,
      '',
      '  Ctrl-C stops it.',
      '',
      '',
    ].join('\n'),
  );
}

/** What there is beyond the disk, without anything secret. */
function protection(node: HoldfastNode): string[] {
  const { active } = node.keys;
  const { backup } = node.stats();
  const tiers = node.kv.tiers.list().map(({ name }) => name);
  return [
    ...(active === undefined ? [] : [`  encrypted   key ${active}`]),
    ...(backup === undefined ? [] : [`  backup      ${backup.place}, ${backup.archive.state}`]),
    ...(tiers.length === 0 ? [] : [`  tiers       ${tiers.join(', ')}: holdfast tier status`]),
  ];
}

async function stop(call: CommandCall, node: HoldfastNode): Promise<ExitCode> {
  const { io } = call;
  if (io.stderrIsTerminal) io.err('\nstopping, Ctrl-C again ends at once\n');
  const streams = node.streams.count();
  await node.close();
  const what = streams === 1 ? '1 stream' : `${streams} streams`;
  const kept = node.settings.memory ? 'which were in memory and are gone' : 'all durable';
  io.err(`${what}, ${kept}\n`);
  return EXIT.ok;
}
