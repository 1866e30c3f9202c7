import type { RecordReport } from "./publish-options.ts";
import { withoutCapture } from "./quiet.ts";
import type { OutgoingRecord } from "./record.ts";

/** Tells whoever measures of a record that is settled. What they throw must not stop the lane. */
export function reportRecord(onRecord: (report: RecordReport) => void, record: OutgoingRecord, now: number): void {
  const { channel, events, bytes, attempts, openedAt, sentAt, error, recovered } = record;
  // What was never sent has waited until now.
  const sent = attempts === 0 ? now : sentAt;
  try {
    const times = { waitedMs: Math.max(0, sent - openedAt), tookMs: Math.max(0, now - sent) };
    // What it prints must not become an event whose record is reported again.
    const told: unknown = withoutCapture(() =>
      onRecord({ channel, events, bytes, attempts, ...times, recovered, error }),
    );
    // A function that returns a promise is taken for one that returns nothing.
    if (told instanceof Promise) told.catch(warn);
  } catch (thrown) {
    warn(thrown);
  }
}

function warn(thrown: unknown): void {
  process.emitWarning(`onRecord threw: ${thrown instanceof Error ? thrown.message : String(thrown)}`, "KataPublisher");
}
