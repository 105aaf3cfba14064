/** Packages that speak to a kind of store: optional, loaded when a store of that kind is opened. */
import { HoldfastError, systemErrorCode } from '@holdfast/core';

/**
 * The first of these packages that is installed; `DRIVER_MISSING` names them when none is.
 *
 * @param beside what is needed with them, so that nobody has to be told twice.
 */
export async function loadDriver<Module>(
  kind: string,
  names: readonly [string, ...string[]],
  beside = '',
): Promise<Module> {
  for (const name of names) {
    try {
      return (await import(name)) as Module;
    } catch (error) {
      if (!isMissing(error)) throw unusable(kind, name, error);
    }
  }
  const packages = names.filter((name) => !name.startsWith('node:'));
  const all = [packages.join(', or '), beside].join(' ').trimEnd();
  throw new HoldfastError(
    'DRIVER_MISSING',
    `${kind} needs a package that is not installed: npm install ${all}`,
    { details: { package: packages[0] as string } },
  );
}

function isMissing(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'ERR_UNKNOWN_BUILTIN_MODULE';
}

/** It is there, and does not load: built for another Node, or its binary is missing. */
function unusable(kind: string, name: string, cause: unknown): HoldfastError {
  return new HoldfastError(
    'DRIVER_MISSING',
    `${kind} needs a package that is installed and does not load: npm rebuild ${name}`,
    { cause, details: { package: name } },
  );
}
