/**
 * Reads known headers of a request from its raw list: no object with names chosen by a stranger is
 * ever built, and a header given twice is seen. Every object it makes has the same shape.
 */
import { HoldfastError } from '@holdfast/core';

type FieldName<Fields> = keyof Fields & string;

/**
 * @param Fields has a member for each header, `undefined` until it was read
 * @param names of the headers
 * @param lists members whose header may be given several times: the values are one list
 */
export function fieldReader<Fields extends Record<keyof Fields, string | undefined>>(
  Fields: new () => Fields,
  names: Readonly<Record<FieldName<Fields>, string>>,
  lists: readonly FieldName<Fields>[],
): (rawHeaders: readonly string[]) => Fields {
  const byName = new Map<string, FieldName<Fields>>();
  for (const [field, name] of Object.entries<string>(names)) {
    byName.set(name.toLowerCase(), field as FieldName<Fields>);
  }
  const isList = new Set<string>(lists);
  // Most headers of a request are none of these; their length alone tells.
  const possible = new Uint8Array(1 + Math.max(...[...byName.keys()].map((name) => name.length)));
  for (const name of byName.keys()) possible[name.length] = 1;
  return (rawHeaders) => {
    const fields = new Fields();
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      const name = rawHeaders[i] as string;
      if (name.length >= possible.length || possible[name.length] === 0) continue;
      const field = byName.get(name) ?? byName.get(name.toLowerCase());
      if (field === undefined) continue;
      const value = rawHeaders[i + 1] as Fields[FieldName<Fields>];
      const before = fields[field];
      if (before === undefined) fields[field] = value;
      else if (isList.has(field)) fields[field] = `${before}, ${value}` as typeof value;
      else throw new HoldfastError('INVALID_HEADER', `header is given twice name=${name}`);
    }
    return fields;
  };
}
