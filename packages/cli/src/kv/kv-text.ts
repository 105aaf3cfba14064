/** How entries are shown to people: one line each, whatever their keys hold. */
import { usageError } from '../command-error.ts';

// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** What a terminal, or a tab between columns, could take for something else is shown as JSON. */
export function shownKey(key: string): string {
  return CONTROL.test(key) ? JSON.stringify(key) : key;
}

/** As the node gives them. */
export interface ShownEntry {
  readonly key: string;
  readonly version: number;
  readonly seq: number;
  readonly bytes: number;
  readonly expiresAt?: string;
  readonly value?: string;
  readonly text?: string;
}

export function countFlag(name: string, text: string | undefined): string | undefined {
  if (text === undefined || /^(?:0|[1-9]\d{0,15})$/.test(text)) return text;
  throw usageError(`--${name} must be a whole number`);
}
