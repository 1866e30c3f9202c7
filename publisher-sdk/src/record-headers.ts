import { headers, type MsgHdrs } from "@nats-io/transport-node";
import type { OutgoingRecord } from "./record.ts";
import { DIGEST_HEADER, PUBLISH_ID_HEADER } from "./stream-reader.ts";

const MESSAGE_ID = "Nats-Msg-Id";
const EXPECTED_STREAM = "Nats-Expected-Stream";

/** The headers that a record travels with. NATS's client encodes them at once, so what is returned is good until the next call. */
export function createRecordHeaders(stream: string): (record: OutgoingRecord) => MsgHdrs {
  // To set one header costs about as much as all else that is done for a record.
  const ordinary = headers();
  ordinary.set(EXPECTED_STREAM, stream);
  return (record) => {
    const { messageId, publishId } = record.identity;
    if (publishId === undefined) {
      ordinary.set(MESSAGE_ID, messageId);
      return ordinary;
    }
    const keyed = headers();
    keyed.set(MESSAGE_ID, messageId);
    keyed.set(EXPECTED_STREAM, stream);
    keyed.set(PUBLISH_ID_HEADER, publishId);
    const { digest } = record;
    if (digest !== undefined) keyed.set(DIGEST_HEADER, digest);
    return keyed;
  };
}
