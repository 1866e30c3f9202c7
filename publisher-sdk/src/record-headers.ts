import { headers, type MsgHdrs } from "@nats-io/transport-node";
import type { OutgoingRecord } from "./record.ts";
import { DIGEST_HEADER, PUBLISH_ID_HEADER } from "./stream-reader.ts";

const MESSAGE_ID = "Nats-Msg-Id";
const EXPECTED_STREAM = "Nats-Expected-Stream";

/**
 * The headers that a record travels with.
 *
 * @param shared whether records without a key may all get the same object, which is good until the next call: NATS's client encodes
 * headers at once, but an application's own connection may keep them, or add some of its own
 */
export function createRecordHeaders(stream: string, shared: boolean): (record: OutgoingRecord) => MsgHdrs {
  const create = (): MsgHdrs => {
    const created = headers();
    created.set(EXPECTED_STREAM, stream);
    return created;
  };
  // The client library brings a header's name into its canonical form, and looks for it three times, whenever it is set.
  const ordinary = shared ? create() : undefined;
  return (record) => {
    const { messageId, publishId } = record.identity;
    const result = publishId === undefined && ordinary !== undefined ? ordinary : create();
    result.set(MESSAGE_ID, messageId);
    if (publishId === undefined) return result;
    result.set(PUBLISH_ID_HEADER, publishId);
    const { digest } = record;
    if (digest !== undefined) result.set(DIGEST_HEADER, digest);
    return result;
  };
}
