import { LIMITS } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { parseCompletion, parseError, parseListedKeys, unquote } from './s3-answers.ts';
import { child, childText, escapeXml, parseXml } from './s3-xml.ts';

const parse = (text: string): ReturnType<typeof parseXml> => parseXml(Buffer.from(text));
const unavailable = expect.objectContaining({ code: 'STORAGE_UNAVAILABLE' });

describe('parseXml', () => {
  it('reads elements, text, entities, prefixes and attributes', () => {
    const root = parse(
      '\ufeff<?xml version="1.0" encoding=\'UTF-8\' ?>\n<s3:A xmlns:s3="u" x = "1">' +
        'a&lt;&gt;&amp;&quot;&apos;&#65;&#x1F600;<B/>b<C d="&lt;"> </C ></s3:A>\n',
    );
    expect(root.name).toBe('A');
    expect(root.text).toBe('a<>&"\'A\u{1f600}b');
    expect(root.children.map(({ name }) => name)).toEqual(['B', 'C']);
    expect(childText(root, 'C')).toBe(' ');
    expect(child(root, 'D')).toBeUndefined();
    expect(parse('<A/>')).toEqual({ name: 'A', text: '', children: [] });
    expect(parse(`<A>${escapeXml('<&>"')}</A>`).text).toBe('<&>"');
  });

  for (const [what, text] of [
    ['nothing', ''],
    ['text', 'x'],
    ['an element that does not end', '<A><B></B>'],
    ['crossing elements', '<A><B></A></B>'],
    ['two roots', '<A/><B/>'],
    ['text behind the root', '<A/>x'],
    ['a document type', '<!DOCTYPE A><A/>'],
    ['an entity of its own', '<!DOCTYPE A [<!ENTITY b "c">]><A>&b;</A>'],
    ['an unknown entity', '<A>&nbsp;</A>'],
    ['an entity named like a property', '<A>&toString;</A>'],
    ['half an entity', '<A>&amp</A>'],
    ['the character zero', '<A>&#0;</A>'],
    ['half of a pair', '<A>&#xD800;</A>'],
    ['a character beyond all', '<A>&#x110000;</A>'],
    ['CDATA', '<A><![CDATA[x]]></A>'],
    ['a comment', '<A><!-- x --></A>'],
    ['an instruction', '<A><?x?></A>'],
    ['an attribute without quotes', '<A b=c/>'],
    ['a tag in an attribute', '<A b="<c>"/>'],
    ['a name that is none', '<1/>'],
  ] as const) {
    it(`refuses ${what}`, () => {
      expect(() => parse(text)).toThrow(unavailable);
    });
  }

  it('refuses what is not UTF-8, too deep, too long, or of too many elements', () => {
    expect(() => parseXml(Buffer.from([0x3c, 0x41, 0xff, 0x2f, 0x3e]))).toThrow(unavailable);
    expect(parse('<A>'.repeat(8) + '</A>'.repeat(8)).name).toBe('A');
    expect(() => parse('<A>'.repeat(9) + '</A>'.repeat(9))).toThrow(unavailable);
    const many = '<B/>'.repeat(LIMITS.maxObjectAnswerElements);
    expect(() => parse(`<A>${many}</A>`)).toThrow(unavailable);
    const long = Buffer.alloc(LIMITS.maxObjectAnswerBytes + 1, ' ');
    expect(() => parseXml(long)).toThrow(unavailable);
  });

  it('holds a full page of the longest keys within its bounds', () => {
    const key = '%F0%9F%98%80'.repeat(256);
    const item = `<Contents><Key>${key}</Key><LastModified>x</LastModified><ETag>&quot;e&quot;</ETag><Size>1</Size><StorageClass>S</StorageClass><Owner><ID>i</ID><DisplayName>d</DisplayName></Owner></Contents>`;
    const page = `<ListBucketResult><IsTruncated>false</IsTruncated>${item.repeat(LIMITS.objectListKeys)}</ListBucketResult>`;
    expect(parseListedKeys(Buffer.from(page)).objects.length).toBe(LIMITS.objectListKeys);
  });

  it('takes no longer for hostile text than for long text', { timeout: 5_000 }, () => {
    for (const text of [
      '<A ' + 'a="b" '.repeat(200_000),
      '<A>' + '&'.repeat(1_000_000),
      '<'.repeat(1_000_000),
      '<A a' + ' '.repeat(1_000_000),
      '<A>' + ' '.repeat(1_000_000) + '<',
      '<?xml' + ' a="b"'.repeat(200_000),
    ]) {
      expect(() => parse(text)).toThrow(unavailable);
    }
  });
});

describe('answers', () => {
  const list = (content: string): Buffer =>
    Buffer.from(`<ListBucketResult>${content}</ListBucketResult>`);

  it('of a list are refused when a key, a size or the end is missing or makes no sense', () => {
    const item = '<Contents><Key>a</Key><Size>1</Size></Contents>';
    const end = '<IsTruncated>false</IsTruncated>';
    expect(parseListedKeys(list(end + item)).objects).toEqual([{ key: 'a', size: 1 }]);
    for (const content of [
      item,
      end + '<Contents><Size>1</Size></Contents>',
      end + '<Contents><Key>a</Key></Contents>',
      end + item.replace('>1<', '>-1<'),
      end + item.replace('>1<', '>1.5<'),
      end + item.replace('>1<', '>9999999999999999<'),
      end + item.replace('>1<', '>0x10<'),
      '<IsTruncated>maybe</IsTruncated>' + item,
      `${end}<EncodingType>rot13</EncodingType>${item}`,
      `${end}<EncodingType>url</EncodingType>${item.replace('>a<', '>%zz<')}`,
    ]) {
      expect(() => parseListedKeys(list(content)), content).toThrow(unavailable);
    }
    expect(() => parseListedKeys(Buffer.from('<Error/>'))).toThrow(unavailable);
  });

  it('of an end of an upload are an etag or an error, whatever the status said', () => {
    expect(parseCompletion(Buffer.from('<Error><Code>InternalError</Code></Error>'))).toMatchObject(
      {
        code: 'InternalError',
      },
    );
    expect(() => parseCompletion(Buffer.from('<html/>'))).toThrow(unavailable);
  });

  it('of errors are errors of S3 or nothing', () => {
    expect(parseError(Buffer.from('<Error><Code>X</Code></Error>'))?.code).toBe('X');
    for (const text of ['', '<html>404</html>', '<Error></Error>', '<Error><Code>X</Code>']) {
      expect(parseError(Buffer.from(text))).toBeUndefined();
    }
    expect(['"a"', 'W/"a"', 'a', '"a'].map(unquote)).toEqual(['a', 'a', 'a', '"a']);
  });
});
