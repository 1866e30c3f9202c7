import { type NatsConnection, RequestError, TimeoutError } from "@nats-io/transport-node";

/**
 * The answer to a request in JSON. Whoever asks knows what it must hold, and checks it.
 *
 * @param nobody what it means that nobody listens there
 * @throws Error of one clear line
 */
export async function ask<T>(
  nc: NatsConnection,
  subject: string,
  body: object | undefined,
  timeoutMs: number,
  nobody: string,
): Promise<T> {
  try {
    const msg = await nc.request(subject, body === undefined ? "" : JSON.stringify(body), { timeout: timeoutMs });
    return msg.json<T>();
  } catch (error) {
    throw new Error(whyNot(error, subject, nobody), { cause: error });
  }
}

function whyNot(error: unknown, subject: string, nobody: string): string {
  if (error instanceof TimeoutError) return "NATS does not answer";
  if (error instanceof RequestError && error.isNoResponders()) return nobody;
  return `${subject}: ${error instanceof Error ? error.message : String(error)}`;
}
