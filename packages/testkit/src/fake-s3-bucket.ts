/**
 * What one bucket of S3 holds and how it answers, without the network. It does what Amazon's does
 * where a client could notice, and can be told to be a lesser one.
 */
import { createHash } from 'node:crypto';

export interface S3Behaviour {
  /**
   * `enforced` as at Amazon; `ignored`: accepted and not looked at; `refused`: 501;
   * `unquoted`: `If-Match` holds only for an etag without quotes, as in radosgw 16.
   */
  readonly conditions: 'enforced' | 'ignored' | 'refused' | 'unquoted';
  /** Whether the end of a multipart upload looks at conditions. */
  readonly conditionalUploads: boolean;
  /** Whether keys in lists are escaped when that was asked for. */
  readonly escapesKeys: boolean;
  /** The most keys on a page. */
  readonly pageKeys: number;
  /** The least bytes of a part that is not the last. */
  readonly leastPartBytes: number;
}

export interface S3Call {
  readonly method: string;
  /** Decoded; empty for the bucket. */
  readonly key: string;
  readonly query: ReadonlyMap<string, string>;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
}

export interface S3Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

interface Stored {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly modified: Date;
  readonly meta: Readonly<Record<string, string>>;
}

interface Upload {
  readonly key: string;
  readonly initiated: Date;
  readonly meta: Readonly<Record<string, string>>;
  readonly parts: Map<number, { readonly bytes: Buffer; readonly etag: string }>;
}

const MESSAGES: Readonly<Record<string, number>> = {
  NoSuchKey: 404,
  NoSuchUpload: 404,
  NoSuchBucket: 404,
  PreconditionFailed: 412,
  InvalidRange: 416,
  NotImplemented: 501,
  InvalidPart: 400,
  InvalidPartOrder: 400,
  EntityTooSmall: 400,
  InvalidArgument: 400,
  MalformedXML: 400,
  MethodNotAllowed: 405,
};

export class FakeS3Bucket {
  readonly #behaviour: S3Behaviour;
  readonly #name: string;
  readonly #now: () => number;
  #objects = new Map<string, Stored>();
  #before = new Map<string, Stored>();
  readonly #uploads = new Map<string, Upload>();
  #uploadsBegun = 0;

  constructor(name: string, behaviour: S3Behaviour, now: () => number) {
    this.#name = name;
    this.#behaviour = behaviour;
    this.#now = now;
  }

  get keys(): string[] {
    return [...this.#objects.keys()];
  }

  get uploads(): number {
    return this.#uploads.size;
  }

  /** @param stale answer a list as it was before the last change. */
  handle(call: S3Call, stale = false): S3Reply {
    const { method, key, query } = call;
    if (key === '') {
      if (method === 'PUT') return { status: 200 };
      if (method !== 'GET') return failed('MethodNotAllowed');
      return query.has('uploads') ? this.#listUploads(call) : this.#list(call, stale);
    }
    if (method === 'PUT') return query.has('partNumber') ? this.#putPart(call) : this.#put(call);
    if (method === 'POST') {
      if (query.has('uploads')) return this.#createUpload(call);
      return query.has('uploadId') ? this.#complete(call) : failed('MethodNotAllowed');
    }
    if (method === 'DELETE') return query.has('uploadId') ? this.#abort(call) : this.#delete(key);
    return method === 'GET' || method === 'HEAD' ? this.#get(call) : failed('MethodNotAllowed');
  }

  #put({ key, headers, body }: S3Call): S3Reply {
    const refusal = this.#refusal(key, headers);
    if (refusal !== undefined) return refusal;
    const etag = md5(body);
    this.#store(key, { bytes: body, etag, modified: this.#date(), meta: metaOf(headers) });
    return { status: 200, headers: { etag: `"${etag}"` } };
  }

  #get({ method, key, headers }: S3Call): S3Reply {
    const found = this.#objects.get(key);
    if (found === undefined) return failed('NoSuchKey');
    const described = {
      etag: `"${found.etag}"`,
      'last-modified': found.modified.toUTCString(),
      'accept-ranges': 'bytes',
      ...found.meta,
    };
    const ifMatch = headers['if-match'];
    if (ifMatch !== undefined && bare(ifMatch) !== found.etag) return failed('PreconditionFailed');
    const range = /^bytes=(\d+)-(\d*)$/.exec(headers['range'] ?? '');
    if (range === null) return { status: 200, headers: described, body: found.bytes };
    const first = Number(range[1]);
    const size = found.bytes.length;
    const last = Math.min(range[2] === '' ? size : Number(range[2]), size - 1);
    if (first >= size) return failed('InvalidRange');
    const body = found.bytes.subarray(first, last + 1);
    const status = method === 'HEAD' ? 200 : 206;
    return {
      status,
      headers: { ...described, 'content-range': `bytes ${first}-${last}/${size}` },
      body,
    };
  }

  #delete(key: string): S3Reply {
    if (this.#objects.has(key)) {
      this.#before = new Map(this.#objects);
      this.#objects.delete(key);
    }
    return { status: 204 };
  }

  #list({ query }: S3Call, stale: boolean): S3Reply {
    if (query.get('list-type') !== '2' || query.has('delimiter')) return failed('NotImplemented');
    const prefix = query.get('prefix') ?? '';
    const token = query.get('continuation-token');
    const after =
      token === undefined
        ? (query.get('start-after') ?? '')
        : Buffer.from(token, 'base64url').toString();
    const most = Math.min(Number(query.get('max-keys') ?? '1000'), this.#behaviour.pageKeys);
    const objects = stale ? this.#before : this.#objects;
    const keys = [...objects.keys()]
      .filter((key) => key.startsWith(prefix) && order(key, after) > 0)
      .sort(order);
    const page = keys.slice(0, most);
    const isTruncated = page.length < keys.length;
    const escaped = query.get('encoding-type') === 'url' && this.#behaviour.escapesKeys;
    const show = (key: string): string => (escaped ? urlKey(key) : xml(key));
    const contents = page.map((key) => {
      const { bytes, etag, modified } = objects.get(key) as Stored;
      return (
        `<Contents><Key>${show(key)}</Key><LastModified>${modified.toISOString()}</LastModified>` +
        `<ETag>&quot;${etag}&quot;</ETag><Size>${bytes.length}</Size>` +
        '<StorageClass>STANDARD</StorageClass></Contents>'
      );
    });
    const next = Buffer.from(page.at(-1) ?? '').toString('base64url');
    return document(
      'ListBucketResult',
      `<Name>${this.#name}</Name><Prefix>${show(prefix)}</Prefix><KeyCount>${page.length}</KeyCount>` +
        `<MaxKeys>${most}</MaxKeys>${escaped ? '<EncodingType>url</EncodingType>' : ''}` +
        `<IsTruncated>${isTruncated}</IsTruncated>` +
        (isTruncated ? `<NextContinuationToken>${next}</NextContinuationToken>` : '') +
        contents.join(''),
    );
  }

  #createUpload({ key, headers }: S3Call): S3Reply {
    const uploadId = `upload-${++this.#uploadsBegun}`;
    const meta = metaOf(headers);
    this.#uploads.set(uploadId, { key, initiated: this.#date(), meta, parts: new Map() });
    return document(
      'InitiateMultipartUploadResult',
      `<Bucket>${this.#name}</Bucket><Key>${xml(key)}</Key><UploadId>${uploadId}</UploadId>`,
    );
  }

  #putPart({ key, query, body }: S3Call): S3Reply {
    const upload = this.#uploads.get(query.get('uploadId') ?? '');
    if (upload?.key !== key) return failed('NoSuchUpload');
    const number = Number(query.get('partNumber'));
    if (!(number >= 1 && number <= 10_000)) return failed('InvalidArgument');
    const etag = md5(body);
    upload.parts.set(number, { bytes: body, etag });
    return { status: 200, headers: { etag: `"${etag}"` } };
  }

  #complete({ key, query, headers, body }: S3Call): S3Reply {
    const uploadId = query.get('uploadId') ?? '';
    const upload = this.#uploads.get(uploadId);
    if (upload?.key !== key) return failed('NoSuchUpload');
    const listed = [
      ...body
        .toString()
        .matchAll(/<Part><PartNumber>(\d+)<\/PartNumber><ETag>"?(\w+)"?<\/ETag><\/Part>/g),
    ].map((match) => ({ number: Number(match[1]), etag: match[2] }));
    if (listed.length === 0) return failed('MalformedXML');
    const pieces: Buffer[] = [];
    for (const [index, { number, etag }] of listed.entries()) {
      const part = upload.parts.get(number);
      if (part === undefined || part.etag !== etag) return failed('InvalidPart');
      if (number <= (listed[index - 1]?.number ?? 0)) return failed('InvalidPartOrder');
      const isLast = index === listed.length - 1;
      if (!isLast && part.bytes.length < this.#behaviour.leastPartBytes) {
        return failed('EntityTooSmall');
      }
      pieces.push(part.bytes);
    }
    if (this.#behaviour.conditionalUploads) {
      const refusal = this.#refusal(key, headers);
      if (refusal !== undefined) return refusal;
    }
    const etags = listed.map(({ etag }) => Buffer.from(etag ?? '', 'hex'));
    const etag = `${md5(Buffer.concat(etags))}-${listed.length}`;
    const bytes = Buffer.concat(pieces);
    this.#store(key, { bytes, etag, modified: this.#date(), meta: upload.meta });
    this.#uploads.delete(uploadId);
    return document('CompleteMultipartUploadResult', `<ETag>&quot;${etag}&quot;</ETag>`);
  }

  #abort({ query }: S3Call): S3Reply {
    return this.#uploads.delete(query.get('uploadId') ?? '')
      ? { status: 204 }
      : failed('NoSuchUpload');
  }

  /** One upload a page, so that paging is walked. */
  #listUploads({ query }: S3Call): S3Reply {
    const marker = `${query.get('key-marker') ?? ''}\0${query.get('upload-id-marker') ?? ''}`;
    const place = ([uploadId, { key }]: readonly [string, Upload]): string => `${key}\0${uploadId}`;
    const all = [...this.#uploads]
      .filter(([, { key }]) => key.startsWith(query.get('prefix') ?? ''))
      .sort((one, other) => order(place(one), place(other)))
      .filter((entry) => order(place(entry), marker) > 0);
    const page = all.slice(0, 1);
    const items = page.map(
      ([uploadId, { key, initiated }]) =>
        `<Upload><Key>${xml(key)}</Key><UploadId>${uploadId}</UploadId>` +
        `<Initiated>${initiated.toISOString()}</Initiated></Upload>`,
    );
    const [last] = page;
    const more = all.length > page.length && last !== undefined;
    const next = more
      ? `<NextKeyMarker>${xml(last[1].key)}</NextKeyMarker>` +
        `<NextUploadIdMarker>${last[0]}</NextUploadIdMarker>`
      : '';
    return document(
      'ListMultipartUploadsResult',
      `<IsTruncated>${more}</IsTruncated>${next}${items.join('')}`,
    );
  }

  #refusal(key: string, headers: S3Call['headers']): S3Reply | undefined {
    const ifNoneMatch = headers['if-none-match'];
    const ifMatch = headers['if-match'];
    const { conditions } = this.#behaviour;
    if ((ifNoneMatch ?? ifMatch) === undefined || conditions === 'ignored') return undefined;
    if (conditions === 'refused' || (ifNoneMatch ?? '*') !== '*') return failed('NotImplemented');
    const found = this.#objects.get(key);
    if (ifNoneMatch !== undefined && found !== undefined) return failed('PreconditionFailed');
    if (ifMatch === undefined) return undefined;
    if (found === undefined) return failed('NoSuchKey');
    const etag = conditions === 'unquoted' ? ifMatch : bare(ifMatch);
    return etag === found.etag ? undefined : failed('PreconditionFailed');
  }

  #store(key: string, stored: Stored): void {
    this.#before = new Map(this.#objects);
    this.#objects.set(key, stored);
  }

  /** As S3 shows it: in whole seconds. */
  #date(): Date {
    return new Date(Math.floor(this.#now() / 1000) * 1000);
  }
}

export function failed(code: string, status: number = MESSAGES[code] ?? 400): S3Reply {
  const body = `<Error><Code>${code}</Code><Message>fake: ${code}</Message></Error>`;
  return { status, headers: { 'content-type': 'application/xml' }, body: Buffer.from(body) };
}

function document(root: string, content: string): S3Reply {
  const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/';
  return {
    status: 200,
    headers: { 'content-type': 'application/xml' },
    body: Buffer.from(
      `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="${namespace}">${content}</${root}>`,
    ),
  };
}

function metaOf(headers: S3Call['headers']): Record<string, string> {
  const meta = Object.entries(headers).filter(([name]) => name.startsWith('x-amz-meta-'));
  return Object.fromEntries(meta.map(([name, value]) => [name, value ?? '']));
}

function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex');
}

function bare(etag: string): string {
  return etag.replace(/^"|"$/g, '');
}

function order(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

function urlKey(key: string): string {
  return key.split('/').map(encodeURIComponent).join('/').replaceAll('%20', '+');
}

function xml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
