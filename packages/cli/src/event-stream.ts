/** Server-sent events from the chunks of a body (WHATWG HTML, "9.2.6"). */

export interface ServerEvent {
  readonly type: string;
  readonly data: string;
}

export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  let type = '';
  let data: string[] = [];
  for await (const line of readLines(body)) {
    if (line === '') {
      if (data.length > 0) yield { type: type === '' ? 'message' : type, data: data.join('\n') };
      type = '';
      data = [];
      continue;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const rest = colon < 0 ? '' : line.slice(colon + 1);
    const value = rest.startsWith(' ') ? rest.slice(1) : rest;
    if (field === 'event') type = value;
    else if (field === 'data') data.push(value);
  }
}

/** Lines without their end; a last one that is not ended is an event cut off, and dropped. */
async function* readLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let pending = '';
  for await (const chunk of body) {
    pending += decoder.decode(chunk, { stream: true });
    // A CR at the very end may be half of a CRLF: it waits for the next chunk.
    const usable = pending.endsWith('\r') ? pending.length - 1 : pending.length;
    const lines = pending.slice(0, usable).split(/\r\n|\n|\r/);
    pending = (lines.pop() ?? '') + pending.slice(usable);
    yield* lines;
  }
}
