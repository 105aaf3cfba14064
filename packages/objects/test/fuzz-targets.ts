/** The parsers of objects: answers of S3, names and ends of files. */
import { crc32c, MemoryFileSystem } from '@holdfast/core';
import type { FuzzTarget } from '@holdfast/testkit';

import { decodeSegment, objectPath, parseEntry } from '../src/fs-object-names.ts';
import { decodeTrailer, encodeTrailer, TRAILER_BYTES } from '../src/fs-object-trailer.ts';
import { type WalkedObject, walkObjects } from '../src/fs-object-walk.ts';
import { isObjectKey } from '../src/object-key.ts';
import type { ObjectInfo } from '../src/object-store.ts';
import {
  parseCompletion,
  parseError,
  parseListedKeys,
  parseListedUploads,
} from '../src/s3-answers.ts';
import { parseXml, type XmlElement } from '../src/s3-xml.ts';

const LIST = Buffer.from(
  '<?xml version="1.0" encoding="UTF-8"?>\n' +
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>' +
    '<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>' +
    '<Contents><Key>a+b/%C3%A9</Key><Size>12</Size><ETag>&quot;0f&#34;</ETag></Contents>' +
    "<Contents><Key>c&amp;&lt;&gt;</Key><Size>0</Size><Owner id='x'/></Contents>" +
    '</ListBucketResult>',
);
const UPLOADS = Buffer.from(
  '<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker>' +
    '<NextUploadIdMarker>u</NextUploadIdMarker><Upload><Key>a</Key><UploadId>u</UploadId>' +
    '<Initiated>2026-11-20T11:39:27.000Z</Initiated></Upload></ListMultipartUploadsResult>',
);
const COMPLETED = Buffer.from(
  '  <?xml version="1.0"?><CompleteMultipartUploadResult><ETag>"0f-2"</ETag>' +
    '</CompleteMultipartUploadResult>',
);
const ERROR = Buffer.from(
  '<Error><Code>NoSuchKey</Code><Message>no &#x6b;ey</Message><Region>eu</Region></Error>',
);
const XML_TOKENS = [
  '<!DOCTYPE a [<!ENTITY b "c">]>',
  '<![CDATA[x]]>',
  '<!-- x -->',
  '&b;',
  '&#0;',
  '&#xD800;',
  '<a>',
  '</a>',
  '<a/>',
  '<a:b c="d">',
  ']]>',
  '\u0000',
];

const xml: FuzzTarget<XmlElement> = {
  name: 's3-xml',
  corpus: [LIST, UPLOADS, COMPLETED, ERROR],
  tokens: XML_TOKENS,
  codes: ['STORAGE_UNAVAILABLE'],
  parse: parseXml,
  check(root, input) {
    let characters = 0;
    let depth = 0;
    const walk = (element: XmlElement, at: number): void => {
      depth = Math.max(depth, at);
      characters += element.text.length + element.name.length;
      for (const each of element.children) walk(each, at + 1);
    };
    walk(root, 1);
    if (characters > input.length) throw new Error('more text than there was');
    if (depth > 8) throw new Error('deeper than allowed');
    if (/<!|<\?(?!xml)/.test(input.toString('latin1'))) throw new Error('accepts a declaration');
  },
};

const answers: FuzzTarget<unknown> = {
  name: 's3-answers',
  corpus: [LIST, UPLOADS, COMPLETED, ERROR],
  tokens: XML_TOKENS,
  codes: ['STORAGE_UNAVAILABLE'],
  parse: (input) => {
    parseError(input); // throws never
    if (input.includes('ListBucketResult')) return parseListedKeys(input);
    if (input.includes('Upload>')) return parseListedUploads(input);
    return parseCompletion(input);
  },
  check(value) {
    const { objects = [] } = value as { objects?: readonly { size: number; key: string }[] };
    for (const { size, key } of objects) {
      if (!Number.isSafeInteger(size) || size < 0 || key === '') throw new Error('nonsense');
    }
  },
};

const info: ObjectInfo = {
  size: 100,
  etag: '00112233445566778899aabbccddeeff',
  modifiedMs: 1_795_000_000_000,
  writeId: 'ffeeddccbbaa99887766554433221100',
};
const trailer: FuzzTarget<ObjectInfo> = {
  name: 'object-trailer',
  corpus: [encodeTrailer(info), encodeTrailer({ ...info, writeId: undefined })],
  codes: ['CHECKSUM_MISMATCH', 'FORMAT_UNSUPPORTED'],
  reseal: (mutant) => {
    if (mutant.length < TRAILER_BYTES) return mutant;
    const first = crc32c(mutant.subarray(0, 12));
    mutant.writeUInt32LE(crc32c(mutant.subarray(16, TRAILER_BYTES), first), 12);
    return mutant;
  },
  parse: (input) => decodeTrailer(input, info.size + TRAILER_BYTES, 'file'),
  check(value, _input, sealed) {
    if (value.size !== info.size) throw new Error('another size than the file has');
    if (!sealed && value.etag !== info.etag) throw new Error('damage was not seen');
  },
};

const names: FuzzTarget<string | undefined> = {
  name: 'object-file-names',
  corpus: ['%41bc', 'folder', 'a'.repeat(200) + '+', '%c3%a9.obj', 'x.obj'].map((text) =>
    Buffer.from(text),
  ),
  tokens: ['%', '%2f', '%00', '+', '.obj', '..', '/'],
  codes: [],
  parse: (input) => {
    const entry = parseEntry(input.toString('latin1'));
    return entry === undefined ? undefined : decodeSegment(entry.text);
  },
  check(segment) {
    if (segment === undefined || !isObjectKey(segment)) return;
    const { folder, name } = objectPath(segment);
    const back = decodeSegment(folder.replaceAll(/\+\/?/g, '') + name.replace(/\.obj$/, ''));
    if (back !== segment) throw new Error('two names for one segment');
  },
};

/** A folder with any name in it is walked to its end, and tells keys alone. */
const folders: FuzzTarget<WalkedObject[]> = {
  name: 'object-folders',
  corpus: ['a.obj', `${'b'.repeat(200)}+`, '%2e', 'c', '.DS_Store'].map((text) =>
    Buffer.from(text),
  ),
  tokens: ['.obj', '+', '%'],
  codes: [],
  maxBytes: 255,
  parse: async (input) => {
    const fileSystem = new MemoryFileSystem();
    const name = input.toString('latin1').replace(/[/\0]/g, '_');
    if (name === '' || name === '.' || name === '..') return [];
    await fileSystem.makeDirectory(`/objects/${name}`);
    await (await fileSystem.open(`/objects/${name}/x.obj`, 'create')).close();
    const bounds = { prefix: '', after: '', onFolder: async () => undefined };
    const found: WalkedObject[] = [];
    for await (const object of walkObjects(fileSystem, '/objects', bounds)) found.push(object);
    return found;
  },
  check(found) {
    for (const { key, path } of found) {
      if (!isObjectKey(key)) throw new Error(`not a key: ${key}`);
      const { folder, name } = objectPath(key);
      if (path !== `/objects/${folder === '' ? name : `${folder}/${name}`}`) {
        throw new Error(`not where it is read: ${path}`);
      }
    }
  },
};

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  xml,
  answers,
  trailer,
  names,
  folders,
] as readonly FuzzTarget[];
