/**
 * How long a `Retry-After` asks to wait, milliseconds; `undefined` where it says nothing that can be read. A date counts from the answer's own
 * `Date`, if it has one: the clocks of two hosts may be far apart.
 *
 * @param now ms since 1970
 */
export function retryAfterOf(
  { "retry-after": after, date }: { readonly "retry-after"?: string | undefined; readonly date?: string | undefined },
  now: number,
): number | undefined {
  if (after === undefined) return undefined;
  if (/^\d+$/.test(after)) return Number(after) * 1_000;
  const until = httpDate(after);
  return until === undefined ? undefined : Math.max(0, until - (httpDate(date) ?? now));
}

/** RFC 9110, 5.6.7: the form that is sent today (`Sun, 06 Nov 1994 08:49:37 GMT`), which the two old ones do not resemble. */
function httpDate(text = ""): number | undefined {
  if (!/^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}
