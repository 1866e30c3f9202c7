import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import type { LinePayload } from "../../broker/src/cli/log-entries.ts";

/** The lines that `kata tail --json` printed to a file, put together as docs/logs.md says: bytes without line feeds. */
export async function* linesPrinted(file: string): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    const { type, payload } = JSON.parse(text) as { type: string; payload: LinePayload };
    if (type !== "log_entry") continue;
    parts.push(payload.bytes === undefined ? Buffer.from(payload.message) : Buffer.from(payload.bytes, "base64"));
    if (payload.more === true) continue;
    yield parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    parts = [];
  }
}
