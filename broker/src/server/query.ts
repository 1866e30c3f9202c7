/** A query that cannot be read, or that says what nobody understands: one line for a person. */
export interface Unreadable {
  readonly problem: string;
}

/**
 * Reads a query whose parameters all have to be known, and come once: a misspelt or broken one would silently mean
 * something else [STREAM-3].
 */
export function parseQuery<K extends string>(
  query: string,
  known: readonly K[],
): Readonly<Partial<Record<K, string>>> | Unreadable {
  const values: Partial<Record<K, string>> = {};
  for (const part of query.split("&")) {
    if (part === "") continue;
    const at = part.indexOf("=");
    const name = known.find((each) => each === (at < 0 ? part : part.slice(0, at)));
    if (name === undefined) return { problem: `the query can have ${known.join(", ")}, and nothing else` };
    if (values[name] !== undefined) return { problem: `${name} is there twice` };
    try {
      values[name] = at < 0 ? "" : decodeURIComponent(part.slice(at + 1));
    } catch {
      return { problem: `${name} is not encoded as a URL wants it: % has to be followed by two hexadecimal digits` };
    }
  }
  return values;
}
