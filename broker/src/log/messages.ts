import { checkOf } from "@kata/protocol/wire";
import type { Msg, MsgHdrs } from "@nats-io/transport-node";
import type { LiveRecord, StoredRecord } from "./event-log.ts";

/**
 * A header that the server appended. A publisher may have sent one of the same name, and the server keeps it in front
 * of its own: only the last one is the server's word.
 */
function serverNumber(headers: MsgHdrs, name: string): number | undefined {
  const text = headers.last(name);
  if (text === "") return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** The publisher's own header comes first; an empty one counts as none, as it does for JetStream. */
export function identityOf(headers: MsgHdrs | undefined, data: Uint8Array): string | Uint8Array {
  const id = headers?.get("Nats-Msg-Id") ?? "";
  return id === "" ? data : id;
}

/** A message that a direct get answered with, or `undefined` if it is not one. */
export function storedRecordOf(msg: Msg): StoredRecord | undefined {
  const headers = msg.headers;
  const seq = headers === undefined ? undefined : serverNumber(headers, "Nats-Sequence");
  if (headers === undefined || seq === undefined) return undefined;
  const subject = headers.last("Nats-Subject");
  return { seq, subject, check: checkOf(identityOf(headers, msg.data)), data: msg.data };
}

/** How many records of the asked subject stand behind this one of a batch. */
export function pendingOf(msg: Msg): number {
  return (msg.headers && serverNumber(msg.headers, "Nats-Num-Pending")) ?? 0;
}

/** A message that the stream republished, or `undefined` if it is not one. */
export function liveRecordOf(msg: Msg): LiveRecord | undefined {
  const stored = storedRecordOf(msg);
  if (stored === undefined || msg.headers === undefined) return undefined;
  const prevSeq = serverNumber(msg.headers, "Nats-Last-Sequence");
  return prevSeq === undefined ? undefined : { ...stored, prevSeq };
}

/** A message as the leader's JSON API gives it, with headers and data in base64. */
export interface ApiMessage {
  readonly seq: number;
  readonly subject: string;
  readonly hdrs?: string;
  readonly data?: string;
}

export function storedRecordOfApi(message: ApiMessage, decodeHeaders: (bytes: Uint8Array) => MsgHdrs): StoredRecord {
  const data = Buffer.from(message.data ?? "", "base64");
  const headers = message.hdrs === undefined ? undefined : decodeHeaders(Buffer.from(message.hdrs, "base64"));
  return { seq: message.seq, subject: message.subject, check: checkOf(identityOf(headers, data)), data };
}
