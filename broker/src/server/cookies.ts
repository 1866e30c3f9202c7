/**
 * The value of one cookie in a `Cookie` header. A name that is there twice has none: whoever can set cookies on a
 * sibling domain could put theirs beside the real one.
 */
export function readCookie(header: string, name: string): string | undefined {
  let found: string | undefined;
  for (const pair of header.split(";")) {
    const at = pair.indexOf("=");
    if (at < 0 || pair.slice(0, at).trim() !== name) continue;
    if (found !== undefined) return undefined;
    const value = pair.slice(at + 1).trim();
    found = /^".*"$/.test(value) ? value.slice(1, -1) : value;
  }
  return found === "" ? undefined : found;
}
