/**
 * Logs by pino: JSON lines, or one readable line per event on a terminal. Pino is loaded when
 * the first logger is made, so that an embedded node without logs never loads it.
 */
import type { LogFields, Logger } from '@holdfast/core';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface LoggerSettings {
  readonly level: LogLevel;
  /** Readable lines instead of JSON. */
  readonly pretty: boolean;
  readonly colour: boolean;
}

/** Where finished lines go. */
export interface LogSink {
  write(line: string): void;
}

const SECRETS = ['authorization', 'cookie', 'token', 'headers.authorization', 'headers.cookie'];
const COLOURS: Record<string, string> = { debug: '2', info: '36', warn: '33', error: '31' };
const LEVEL_NAMES: Record<number, string> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' };

export async function createPinoLogger(settings: LoggerSettings, sink: LogSink): Promise<Logger> {
  const { pino } = await import('pino');
  const log = pino(
    {
      level: settings.level,
      base: null,
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      redact: { paths: SECRETS, censor: '[redacted]' },
      formatters: settings.pretty ? {} : { level: (label) => ({ level: label }) },
    },
    settings.pretty ? { write: (line) => sink.write(readableLine(line, settings.colour)) } : sink,
  );
  return {
    debug: (event: string, fields: LogFields = {}) => log.debug(fields, event),
    info: (event: string, fields: LogFields = {}) => log.info(fields, event),
    warn: (event: string, fields: LogFields = {}) => log.warn(fields, event),
    error: (event: string, fields: LogFields = {}) => log.error(fields, event),
  };
}

/** `12:00:00.000 warn  event key=value`; line breaks in values stay escaped. */
function readableLine(line: string, colour: boolean): string {
  const { level, ts, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const name = LEVEL_NAMES[Number(level)] ?? String(level);
  const shown = colour ? `\u001b[${COLOURS[name] ?? '0'}m${name}\u001b[0m` : name;
  const facts = Object.entries(fields).map(([key, value]) => ` ${key}=${fact(value)}`);
  return `${String(ts).slice(11, 23)} ${shown}${' '.repeat(6 - name.length)}${String(msg)}${facts.join('')}\n`;
}

function fact(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return /^[\w.:/@+-]+$/.test(text) ? text : JSON.stringify(text);
}
