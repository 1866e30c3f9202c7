import { writeSync } from "node:fs";
import { openSpool } from "../../publisher-sdk/src/spool-store.ts";
import { randomFrom } from "../support/random.ts";

/** Whose spool the tests use. */
const OWNER = { teamId: "t1", stream: "KATA", via: "nats" as const };
/** Records that are in the spool at a time. */
const OPEN = 5;

/**
 * Fills a spool until it is killed, saying on stdout, a file, what it is about to hand in and what was committed:
 * `removing <record>`, `removed <record>`, `committed <record> <lines>`. Of each commit it sends its parent word.
 * Records are numbered from `first`.
 */
async function fill(directory: string, first: number, seed: number): Promise<never> {
  const random = randomFrom(seed);
  const { spool, left } = await openSpool(directory, OWNER);
  const open = left.map(({ messageId, lines }) => ({ id: Number(messageId), lines: lines.length }));
  for (let next = first; ; ) {
    const removed: number[] = [];
    const added: [number, number][] = [];
    const last = open.at(-1);
    if (last === undefined || last.id < first || random() < 0.3) open.push({ id: next++, lines: 0 });
    while (open.length > OPEN) removed.push(open.shift()?.id ?? 0);
    for (const id of removed) {
      say(`removing ${id}`);
      spool.remove({ messageId: String(id) });
    }
    const record = open.at(-1);
    for (let n = Math.ceil(random() * 40); n > 0 && record !== undefined; n--) {
      spool.add(headOf(record.id), lineOf(record.id, record.lines++));
      added.push([record.id, record.lines]);
    }
    const committed = spool.commit().then(() => {
      for (const id of removed) say(`removed ${id}`);
      const [id, lines] = added.at(-1) ?? [];
      say(`committed ${id} ${lines}`);
      process.send?.("committed");
    });
    // Some are handed in while a batch is being written, and share the next one.
    if (random() < 0.5) await committed;
    else await Promise.race([committed, new Promise(setImmediate)]);
  }
}

function headOf(id: number) {
  return { messageId: String(id), channel: "agent:a", openedAt: 1_000 + id };
}

function lineOf(id: number, n: number): string {
  return `{"record":${id},"n":${n},"text":"${"x".repeat(100 + (n % 7))}"}`;
}

function say(line: string): void {
  // Synchronous: what has been said is out before what comes next is begun.
  writeSync(1, `${line}\n`);
}

const [directory = "", first, seed] = process.argv.slice(2);
await fill(directory, Number(first), Number(seed));
