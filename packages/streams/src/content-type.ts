/**
 * Content types as streams compare them: without case, without the order of parameters, and
 * with `charset=utf-8` the same as none, because HTTP clients add it on their own.
 */

/** A key that is equal for content types that mean the same. */
export function contentTypeKey(contentType: string): string {
  const [mediaType, ...parameters] = contentType.split(';');
  const kept = parameters
    .map((parameter) => parameter.trim().toLowerCase().replaceAll('"', ''))
    .filter((parameter) => parameter !== '' && parameter !== 'charset=utf-8');
  return [(mediaType as string).trim().toLowerCase(), ...kept.sort()].join(';');
}

export function sameContentType(a: string, b: string): boolean {
  return a === b || contentTypeKey(a) === contentTypeKey(b);
}

/** JSON mode of the protocol: exactly `application/json`, whatever its parameters. */
export function isJsonContentType(contentType: string): boolean {
  const end = contentType.indexOf(';');
  const mediaType = end < 0 ? contentType : contentType.slice(0, end);
  return mediaType.trim().toLowerCase() === 'application/json';
}
