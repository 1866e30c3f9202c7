import type { PublishResult } from "@kata/publisher";

/** What one record became for its readers: its envelopes, NDJSON. */
export interface SentRecord {
  readonly bytes: Buffer;
  readonly events: number;
}

/**
 * The envelopes that Kata made of published lines, byte for byte, in their records: what the bare server is given to send. The eventId says which
 * record an event went into.
 */
export function envelopesOf(
  channel: string,
  lines: readonly string[],
  results: readonly PublishResult[],
): SentRecord[] {
  const records: SentRecord[] = [];
  let envelopes: string[] = [];
  let record = "";
  const finish = () => {
    if (envelopes.length > 0) records.push({ bytes: Buffer.from(envelopes.join("\n")), events: envelopes.length });
    envelopes = [];
  };
  for (const [index, line] of lines.entries()) {
    const eventId = results[index]?.eventId ?? "";
    const [name = ""] = eventId.split(".");
    if (name !== record) finish();
    record = name;
    envelopes.push(`${line.slice(0, -1)},"channel":"${channel}","eventId":"${eventId}"}`);
  }
  finish();
  return records;
}
