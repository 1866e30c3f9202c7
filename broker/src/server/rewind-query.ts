import { type Rewind, RewindSchema } from "@kata/protocol";

/** `all`, `20` (events) or `60s` (seconds) as a rewind [STREAM-3]; `undefined` for anything else. */
export function parseRewind(text: string): Rewind | undefined {
  const match = /^(\d{1,9})(s?)$/.exec(text);
  const wish = match === null ? text : match[2] === "s" ? { seconds: Number(match[1]) } : { count: Number(match[1]) };
  const parsed = RewindSchema.safeParse(wish);
  return parsed.success ? parsed.data : undefined;
}
