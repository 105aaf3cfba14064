/**
 * Checks a request's AWS Signature Version 4 as S3 does, from its description and from nothing of
 * the code that signs: two mistakes would have to agree.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

export interface SignedRequest {
  readonly method: string;
  /** As on the wire: path and query, not decoded. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
}

export interface SigningIdentity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  readonly region: string;
}

const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=([^/,]+)\/(\d{8})\/([^/,]+)\/s3\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/;
const MAX_SKEW_MS = 15 * 60 * 1000;

/** A code of S3 for what is wrong, or `undefined`. */
export function signatureProblem(
  request: SignedRequest,
  identity: SigningIdentity,
  nowMs: number,
): string | undefined {
  const { headers, body } = request;
  const match = AUTHORIZATION.exec(headers['authorization'] ?? '');
  if (match === null) return 'AccessDenied';
  const [, keyId, day = '', region = '', signedNames = '', signature = ''] = match;
  if (keyId !== identity.accessKeyId) return 'InvalidAccessKeyId';
  if (region !== identity.region) return 'AuthorizationHeaderMalformed';
  if (headers['x-amz-security-token'] !== identity.sessionToken) return 'InvalidToken';
  const time = headers['x-amz-date'] ?? '';
  const at = Date.parse(
    time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'),
  );
  if (!(Math.abs(at - nowMs) <= MAX_SKEW_MS)) return 'RequestTimeTooSkewed';
  const names = signedNames.split(';');
  const mustBeSigned = Object.keys(headers).filter((name) => /^(host|x-amz-.*)$/.test(name));
  if (mustBeSigned.some((name) => !names.includes(name))) return 'AccessDenied';
  const payloadHash = headers['x-amz-content-sha256'] ?? '';
  const wanted = sign(request, identity, { day, time, names, payloadHash });
  if (!timingSafeEqual(Buffer.from(wanted), Buffer.from(signature))) return 'SignatureDoesNotMatch';
  const isHashed = payloadHash !== 'UNSIGNED-PAYLOAD';
  return isHashed && payloadHash !== sha256(body) ? 'XAmzContentSHA256Mismatch' : undefined;
}

function sign(
  { method, target, headers }: SignedRequest,
  { secretAccessKey, region }: SigningIdentity,
  of: { day: string; time: string; names: readonly string[]; payloadHash: string },
): string {
  const [path = '', query = ''] = target.split('?', 2);
  const canonical = [
    method,
    path
      .split('/')
      .map((part) => escape3986(decodeURIComponent(part)))
      .join('/'),
    canonicalQuery(query),
    ...of.names.map((name) => `${name}:${(headers[name] ?? '').trim().replace(/ +/g, ' ')}`),
    '',
    of.names.join(';'),
    of.payloadHash,
  ].join('\n');
  const scope = `${of.day}/${region}/s3/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', of.time, scope, sha256(Buffer.from(canonical))].join('\n');
  let key: Buffer = Buffer.from(`AWS4${secretAccessKey}`);
  for (const word of [of.day, region, 's3', 'aws4_request']) key = hmac(key, word);
  return hmac(key, text).toString('hex');
}

function canonicalQuery(query: string): string {
  if (query === '') return '';
  return query
    .split('&')
    .map((pair) => pair.split('=', 2).map((part) => escape3986(decodeURIComponent(part))))
    .map(([name = '', value = '']) => `${name}=${value}`)
    .sort()
    .join('&');
}

function escape3986(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
