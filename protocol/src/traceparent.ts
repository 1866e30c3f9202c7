/** Version, trace id, parent id, flags: version `ff`, and an id of zeros alone, are none. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/**
 * [ENVELOPE-7] Whether it is a `traceparent` of W3C Trace Context (https://www.w3.org/TR/trace-context/, 3.2): 55
 * characters, hexadecimal digits in lower case.
 */
export function isTraceparent(value: unknown): value is string {
  return typeof value === "string" && TRACEPARENT.test(value);
}
