/** What the headers of a stream's answer say. */
export interface StreamAnswer {
  readonly nextOffset: string;
  readonly closed: boolean;
  readonly upToDate: boolean;
  readonly contentType: string;
}

export function streamAnswer(response: Response): StreamAnswer {
  const { headers } = response;
  return {
    nextOffset: headers.get('stream-next-offset') ?? '',
    closed: headers.get('stream-closed')?.toLowerCase() === 'true',
    upToDate: headers.get('stream-up-to-date')?.toLowerCase() === 'true',
    contentType: headers.get('content-type') ?? 'application/octet-stream',
  };
}

export function isJsonType(contentType: string): boolean {
  return contentType.split(';')[0]?.trim().toLowerCase() === 'application/json';
}

export function isTextType(contentType: string): boolean {
  return contentType.trim().toLowerCase().startsWith('text/');
}
