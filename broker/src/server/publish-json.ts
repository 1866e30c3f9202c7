import { isUtf8 } from "node:buffer";

/** Bodies that are cut into lines [HTTP-8]; the second and third are other names that are in use. */
export const NDJSON = ["application/x-ndjson", "application/ndjson", "application/jsonl"] as const;

const SEVERAL = `send several events as an array, or one a line with Content-Type: ${NDJSON[0]}; curl keeps line feeds with --data-binary only`;

/** What a text is as JSON, or what is wrong with it: one line that begins with `what` is not JSON. */
export function parseJson(bytes: Buffer, what: string): { readonly json: unknown } | { readonly problem: string } {
  if (!isUtf8(bytes)) return { problem: `${what} is not UTF-8` };
  const text = bytes.toString("utf8");
  try {
    return { json: JSON.parse(text) };
  } catch {
    return { problem: `${what} is not JSON: ${hasSeveral(text) ? SEVERAL : "an event is {type, payload}"}` };
  }
}

/** Some editors begin a file with a byte order mark, which is no part of a text. */
export function withoutMark(bytes: Buffer): Buffer {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

/** Whether it looks like lines of JSON, or what is left of them where their line feeds were taken out. */
function hasSeveral(text: string): boolean {
  if (/\}[ \t\r]*\{/.test(text)) return true;
  const [first, second] = text.split("\n", 20).filter((line) => line.trim() !== "");
  return first !== undefined && second !== undefined && isJson(first) && isJson(second);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
