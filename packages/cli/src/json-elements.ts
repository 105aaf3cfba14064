/**
 * The elements of a JSON array as they stand in it, byte for byte: big integers and the order
 * of keys survive, which parsing would lose. The server has checked the grammar.
 */

/** Each element on one line: line breaks outside strings are white space, inside they cannot be. */
export function jsonElements(array: string): string[] {
  const text = array.trim();
  if (text === '') return [];
  if (!text.startsWith('[') || !text.endsWith(']')) throw new SyntaxError('not a JSON array');
  const elements: string[] = [];
  let depth = 0;
  let start = 1;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (inString) {
      if (c === '\\') i++;
      else if (c === '"') inString = false;
    } else if (c === '"') inString = true;
    else if (c === '[' || c === '{') depth++;
    else if (c === ']' || c === '}') depth--;
    const ends = !inString && ((c === ',' && depth === 1) || depth === 0);
    if (!ends) continue;
    const element = text
      .slice(start, i)
      .trim()
      .replace(/[\r\n]+/g, ' ');
    // The server may leave a comma behind the last element.
    if (element !== '') elements.push(element);
    start = i + 1;
  }
  return elements;
}
