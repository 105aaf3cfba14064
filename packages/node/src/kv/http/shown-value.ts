/** Values in JSON: left out, as base64, or as text where they are text. */
import { isUtf8 } from 'node:buffer';

export const VALUE_FORMS = ['none', 'base64', 'text'] as const;
export type ValueForm = (typeof VALUE_FORMS)[number];

/** Members of the JSON object that shows the entry. */
export function shownValue(
  value: Uint8Array | undefined,
  form: ValueForm,
): { readonly value?: string; readonly text?: string } {
  if (value === undefined || form === 'none') return {};
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (form === 'text' && isUtf8(bytes)) return { text: bytes.toString('utf8') };
  return { value: bytes.toString('base64') };
}
