/** One event as it is stored: a line of a record. */
export interface StoredEvent {
  readonly type: string;
  /** RFC 3339, UTC. */
  readonly timestamp: string;
  readonly encoding: "json";
  /** [ENVELOPE-7] */
  readonly traceparent?: string;
  readonly payload: unknown;
}

/**
 * One line of a record, without the line feed. JSON.stringify escapes line feeds inside strings, so an event can
 * never break its record apart.
 *
 * @param type one that `isEventType` says is one; it is written as it is, and so is the timestamp, RFC 3339
 * @param traceparent one that `isTraceparent` says is one; it is written as it is
 * @returns `undefined` if the payload has no JSON form (a function, a symbol, undefined)
 * @throws TypeError if the payload cannot be written as JSON (a cycle, a BigInt)
 */
export function encodeEvent(
  type: string,
  timestamp: string,
  payload: unknown,
  traceparent?: string,
): string | undefined {
  const json: string | undefined = JSON.stringify(payload);
  if (json === undefined) return undefined;
  return `${headOf(type, timestamp, traceparent)}${json}}`;
}

const last = { type: "", timestamp: "", traceparent: "" as string | undefined, head: "" };

/** What comes before the payload: at full speed the same for hundreds of events in a row. */
function headOf(type: string, timestamp: string, traceparent: string | undefined): string {
  if (type !== last.type || timestamp !== last.timestamp || traceparent !== last.traceparent) {
    const trace = traceparent === undefined ? "" : `,"traceparent":"${traceparent}"`;
    last.type = type;
    last.timestamp = timestamp;
    last.traceparent = traceparent;
    last.head = `{"type":"${type}","timestamp":"${timestamp}","encoding":"json"${trace},"payload":`;
  }
  return last.head;
}

/** Upper bound of one record in bytes; nats-server's own default limit for a message is 1 MiB, headers included. */
export const MAX_RECORD_BYTES = 512 * 1024;
/** Upper bound of one event's line in bytes. */
export const MAX_EVENT_BYTES = 512 * 1024;
