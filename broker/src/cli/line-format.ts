import type { EventInput } from "@kata/publisher";
import { eventOf, parseJson } from "./event-of.ts";
import { fitsOneEvent, growsInJson, logEntriesOf } from "./log-entries.ts";
import { linesOf, type Sizing, type StretchKind } from "./stretch.ts";

/** What a line that cannot be an event is told with: which of the stretch's lines, from 0. */
export type Refuse = (line: number, why: string) => void;

/** How lines become events. */
export interface LineFormat extends Sizing {
  /** The events of a stretch; `timestamp` for all, or now where there is none. */
  eventsOf(bytes: Buffer, stretch: StretchKind, timestamp: string | undefined, refuse: Refuse): EventInput[];
}

/** A line is the message of a log entry. */
export const LOG_ENTRIES: LineFormat = {
  grows: growsInJson,
  fits: fitsOneEvent,
  eventsOf(bytes, stretch, timestamp) {
    return logEntriesOf(bytes, stretch).map((payload) => ({ type: "log_entry", payload, timestamp }));
  },
};

/** A line is the payload of an event of this type, as JSON; a blank one is nothing, as is a byte order mark before the first. */
export function jsonLines(type: string): LineFormat {
  return {
    // It is written anew: 1e20 as 100000000000000000000.
    grows: () => true,
    fits: () => true,
    eventsOf(bytes, { part, more, begins }, timestamp, refuse) {
      if (part !== undefined) {
        if (more !== true) refuse(0, "it is too long, an event has at most 512 KiB");
        return [];
      }
      return linesOf(begins ? withoutMark(bytes) : bytes).flatMap((line, at) => {
        try {
          const text = TEXT.decode(line);
          return text.trim() === "" ? [] : [{ ...eventOf(type, parseJson(text)), timestamp }];
        } catch (error) {
          refuse(at, error instanceof TypeError ? "not JSON: it is no UTF-8" : (error as Error).message);
          return [];
        }
      });
    },
  };
}

/** Some programs begin a file with it, although UTF-8 has no byte order. */
const MARK = Buffer.from("\ufeff");

function withoutMark(bytes: Buffer): Buffer {
  return bytes.subarray(0, MARK.length).equals(MARK) ? bytes.subarray(MARK.length) : bytes;
}

const TEXT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
