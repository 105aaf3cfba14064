/**
 * The seam for structured logs. An event has a stable name and facts; never secrets, never
 * user bytes, never a stream's path.
 */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

export const SILENT: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
};
