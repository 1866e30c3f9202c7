import type { ChannelRecord } from "./channel-record.ts";

/** A generation of remembered pieces ends after so many; each is some hundred bytes of objects, its text is the record's. */
const GENERATION = 8_192;

let young = new WeakMap<ChannelRecord, readonly Buffer[]>();
let old = new WeakMap<ChannelRecord, readonly Buffer[]>();
let pieces = 0;

/**
 * The envelopes of a record, one by one. Many readers that come back replay the same few records: cutting them up for
 * each costs half as much as sending them. Remembered for the last records that were asked for, as long as somebody keeps those.
 */
export function envelopesOf(record: ChannelRecord): readonly Buffer[] {
  if (record.ends.length <= 1) return record.ends.length === 0 ? [] : [record.bytes];
  const known = young.get(record);
  if (known !== undefined) return known;
  const envelopes = old.get(record) ?? cut(record);
  pieces += envelopes.length;
  if (pieces > GENERATION) {
    old = young;
    young = new WeakMap();
    pieces = envelopes.length;
  }
  young.set(record, envelopes);
  return envelopes;
}

function cut({ bytes, ends }: ChannelRecord): Buffer[] {
  let start = 0;
  return ends.map((end) => {
    const envelope = bytes.subarray(start, end);
    start = end + 1;
    return envelope;
  });
}
