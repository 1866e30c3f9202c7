/**
 * What could steer a terminal or split a line in two: control characters but the tab (`\p{Cc}`, so C1 and DEL too), the
 * line and paragraph separators, and the marks that turn the direction of text around, by which a line can show another
 * order than it has.
 */
const UNSAFE = /(?!\t)[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r" };

/** The text on one line, with what must not reach a terminal written out: `\x1b`, `\n`, `\u202e`. */
export function plain(text: string): string {
  return text.replace(UNSAFE, (char) => {
    const code = char.charCodeAt(0);
    const hex = code.toString(16);
    return SHORT[char] ?? (code < 0x100 ? `\\x${hex.padStart(2, "0")}` : `\\u${hex.padStart(4, "0")}`);
  });
}

/** JSON text whose value is the same and that is one line of harmless characters; JSON itself escapes only below U+0020. */
export function plainJson(json: string): string {
  return json.replace(UNSAFE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
