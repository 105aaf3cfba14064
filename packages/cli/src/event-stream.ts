/** Server-sent events from the chunks of a body (WHATWG HTML, "9.2.6"). */

export interface ServerEvent {
  readonly type: string;
  readonly data: string;
  /** To resume behind; of this event, or of one before it. */
  readonly id: string;
}

/** @param onId hears the number of what came without data, as heartbeats do: it is no event. */
export async function* readEvents(
  body: AsyncIterable<Uint8Array>,
  onId?: (id: string) => void,
): AsyncGenerator<ServerEvent> {
  let type = '';
  let id = '';
  let data: string[] = [];
  for await (const line of readLines(body)) {
    if (line === '') {
      if (data.length > 0)
        yield { type: type === '' ? 'message' : type, data: data.join('\n'), id };
      else if (id !== '') onId?.(id);
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
    else if (field === 'id') id = value;
  }
}

/**
 * Lines without their end; a last one that is not ended is an event cut off, and dropped. Each
 * piece is looked at once, however long the line is that it belongs to.
 */
async function* readLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8');
  let line: string[] = [];
  let endedInReturn = false;
  for await (const chunk of body) {
    const decoded = decoder.decode(chunk, { stream: true });
    if (decoded === '') continue;
    // The second half of a CRLF that was cut in two.
    const text = endedInReturn && decoded.startsWith('\n') ? decoded.slice(1) : decoded;
    endedInReturn = decoded.endsWith('\r');
    const [first = '', ...others] = text.split(/\r\n|\n|\r/);
    line.push(first);
    for (const next of others) {
      yield line.join('');
      line = [next];
    }
  }
}
