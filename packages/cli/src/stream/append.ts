import { SERVER_FLAGS, type Command, type CommandCall } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';
import { readLineBatches, readSource, readWhole } from '../input.ts';
import { isJsonType, streamAnswer } from './stream-answer.ts';

export const streamAppend: Command = {
  name: 'stream append',
  summary: 'append to a stream; done when it is durable',
  positionals: [
    { name: 'PATH', required: true },
    { name: 'DATA', required: false },
  ],
  flags: {
    file: { type: 'string', value: 'FILE', summary: 'append what is in this file' },
    lines: { type: 'boolean', summary: 'each line of the input is one message (NDJSON)' },
    type: { type: 'string', value: 'TYPE', summary: 'content type (default: that of the stream)' },
    seq: { type: 'string', value: 'SEQ', summary: 'Stream-Seq; with --producer: Producer-Seq' },
    producer: { type: 'string', value: 'ID', summary: 'idempotent producer: retries write once' },
    epoch: { type: 'string', value: 'N', summary: 'epoch of the producer (default 0)' },
    close: { type: 'boolean', summary: 'close the stream with this append' },
    ...SERVER_FLAGS,
  },
  notes: [
    'DATA - (the default when nothing else is given) is standard input.',
    'In a JSON stream an array is its elements: each becomes a message.',
    'With --lines and --producer, batches are cut the same way each time, so a whole run can be',
    'repeated; the seq counts up from --seq, batch by batch.',
    '',
    '  holdfast stream append chat/1 \'{"hi":1}\'',
    '  tail -f log.ndjson | holdfast stream append logs/web --lines',
  ],
  async run(call) {
    const append = await Append.prepare(call);
    const outcome = call.values.flag('lines') ? await append.lines() : await append.whole();
    if (call.json) await call.io.out(`${JSON.stringify(outcome)}\n`);
    else await call.io.out(`${outcome.nextOffset}\n`);
    return EXIT.ok;
  },
};

interface AppendReport {
  readonly path: string;
  readonly nextOffset: string;
  readonly closed: boolean;
  /** All of it was there already: a producer's retry. */
  readonly duplicate: boolean;
  readonly requests: number;
}

class Append {
  readonly #call: CommandCall;
  readonly #client: NodeClient;
  readonly #path: string;
  readonly #contentType: string;
  readonly #source: string | undefined;
  #seq: number;
  #report: AppendReport;

  private constructor(call: CommandCall, client: NodeClient, contentType: string) {
    this.#call = call;
    this.#client = client;
    this.#contentType = contentType;
    this.#path = call.arguments[0] ?? '';
    this.#source = sourceOf(call);
    const { values } = call;
    const producer = values.given('producer');
    this.#seq = producer ? wholeNumber('seq', values.text('seq') ?? '0') : 0;
    this.#report = {
      path: this.#path,
      nextOffset: '',
      closed: false,
      duplicate: true,
      requests: 0,
    };
  }

  static async prepare(call: CommandCall): Promise<Append> {
    const { values } = call;
    if (values.given('epoch') && !values.given('producer')) {
      throw usageError('--epoch goes with --producer');
    }
    if (values.given('epoch')) wholeNumber('epoch', values.text('epoch') ?? '');
    if (values.flag('lines') && values.given('seq') && !values.given('producer')) {
      throw usageError('--seq orders one request; with --lines use --producer');
    }
    sourceOf(call);
    const client = NodeClient.of(call);
    const given = values.text('type');
    if (given !== undefined) return new Append(call, client, given);
    const head = await client.stream(call.arguments[0] ?? '', { method: 'HEAD' });
    return new Append(call, client, streamAnswer(head).contentType);
  }

  async whole(): Promise<AppendReport> {
    const data = this.#call.arguments[1];
    const body =
      this.#source === undefined
        ? Buffer.from(data ?? '')
        : await readWhole(this.#call.io, this.#source);
    if (body.length === 0 && !this.#call.values.flag('close')) {
      throw usageError('there is nothing to append', 'give DATA, --file, or standard input');
    }
    await this.#send(body, this.#call.values.flag('close'));
    return this.#report;
  }

  async lines(): Promise<AppendReport> {
    if (this.#source === undefined) throw usageError('--lines reads standard input or --file');
    const { io, values } = this.#call;
    // A producer's batches must be the same when a run is repeated: they depend on the input
    // alone, not on when it came.
    const flushOnPause = !values.given('producer');
    const input = readSource(io, this.#source);
    for await (const batch of readLineBatches(input, { flushOnPause })) {
      await this.#send(this.#joined(batch), false);
    }
    if (values.flag('close')) await this.#send(Buffer.alloc(0), true);
    return this.#report;
  }

  #joined(lines: readonly Buffer[]): Buffer {
    const json = isJsonType(this.#contentType);
    const [open, between, end] = json ? ['[', ',', ']'] : ['', '\n', '\n'];
    const parts: Buffer[] = [Buffer.from(open)];
    lines.forEach((line, i) => {
      if (i > 0) parts.push(Buffer.from(between));
      parts.push(line);
    });
    return Buffer.concat([...parts, Buffer.from(end)]);
  }

  async #send(body: Buffer | Uint8Array, close: boolean): Promise<void> {
    const { values } = this.#call;
    const producer = values.text('producer');
    const response = await this.#client.stream(this.#path, {
      method: 'POST',
      headers: {
        'content-type': this.#contentType,
        'stream-closed': close ? 'true' : undefined,
        'stream-seq': producer === undefined ? values.text('seq') : undefined,
        'producer-id': producer,
        'producer-epoch': producer === undefined ? undefined : (values.text('epoch') ?? '0'),
        'producer-seq': producer === undefined ? undefined : String(this.#seq++),
      },
      body,
    });
    const { nextOffset, closed } = streamAnswer(response);
    // To a producer the node says 200 for new data and 204 for what it had already.
    const duplicate = producer !== undefined && response.status === 204;
    this.#report = {
      path: this.#path,
      nextOffset,
      closed,
      duplicate: this.#report.duplicate && duplicate,
      requests: this.#report.requests + 1,
    };
  }
}

/** `undefined`: the data stands on the command line. */
function sourceOf(call: CommandCall): string | undefined {
  const data = call.arguments[1];
  const file = call.values.text('file');
  if (file !== undefined && data !== undefined) {
    throw usageError('DATA and --file exclude each other');
  }
  if (file !== undefined) return file;
  if (data === '-') return '-';
  if (data !== undefined) return undefined;
  if (call.values.flag('close') && !call.values.flag('lines')) return undefined;
  if (call.io.stdinIsTerminal) {
    throw usageError('there is nothing to append', 'give DATA, --file, or standard input');
  }
  return '-';
}

function wholeNumber(flag: string, text: string): number {
  const value = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value)) {
    throw usageError(`--${flag} must be a whole number`);
  }
  return value;
}
