import { readdir, readFile, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { STREAM } from "@kata/protocol/wire";

/*
 * A block of nats-server's file store (filestore.go, 2.15), little endian, record after record:
 *
 *   uint32  length of the record; the top bit says that there are headers
 *   uint64  sequence; its two top bits mark what is no message of the stream (erased, or a note of a removal)
 *   uint64  time, ns since 1970
 *   uint16  length of the subject, and the subject
 *   uint32  length of the headers, if there are any, and the headers
 *           message
 *   8 bytes checksum
 */
const HAS_HEADERS = 0x8000_0000;
const MARKS = 3n << 62n;
const SMALLEST = 22 + 8;

/**
 * Takes every record from `fromSeq` on out of the stream's file store, as a machine does that loses its power before the
 * disk has them. nats-server must have ended.
 *
 * @returns how many records are gone
 */
export async function cutTail(storeDirectory: string, fromSeq: number): Promise<number> {
  const messages = join(storeDirectory, "jetstream", "KATA", "streams", STREAM, "msgs");
  const blocks = (await readdir(messages)).filter((file) => file.endsWith(".blk"));
  let gone = 0;
  for (const file of blocks) {
    const block = join(messages, file);
    const records = recordsOf(await readFile(block));
    const first = records.find((record) => record.seq >= fromSeq);
    if (first === undefined) continue;
    gone += records.filter((record) => record.seq >= fromSeq).length;
    if (first.at === 0) await rm(block);
    else await truncate(block, first.at);
  }
  // What the server remembers of the blocks. Without it, it reads the blocks themselves.
  await rm(join(messages, "index.db"), { force: true });
  return gone;
}

/** The messages of a block in their order, and where each begins. */
function recordsOf(block: Buffer): { seq: number; at: number }[] {
  const records: { seq: number; at: number }[] = [];
  let at = 0;
  while (at < block.length) {
    const length = (block.readUInt32LE(at) & ~HAS_HEADERS) >>> 0;
    if (length < SMALLEST || at + length > block.length) throw new Error(`no record at byte ${at} of a block`);
    const seq = block.readBigUInt64LE(at + 4);
    if ((seq & MARKS) === 0n) records.push({ seq: Number(seq), at });
    at += length;
  }
  return records;
}
