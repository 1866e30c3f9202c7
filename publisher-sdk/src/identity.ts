import { isId } from "@kata/protocol/wire";
import type { NatsConnection } from "@nats-io/transport-node";
import { ask } from "./ask.ts";
import { backoffMs } from "./backoff.ts";
import type { About, BrokerReader } from "./broker-reader.ts";
import { PublisherError } from "./errors.ts";

interface UserInfo {
  readonly data?: {
    readonly permissions?: { readonly publish?: { readonly allow?: readonly string[] } };
  };
}

/**
 * What the connection's user is allowed tells its team: the broker that let it in allows it to ask about that team
 * alone. `undefined` for a user that no broker has let in.
 *
 * @throws PublisherError `unavailable`
 */
export async function teamOf(nc: NatsConnection, timeoutMs: number): Promise<string | undefined> {
  const info = await ask<UserInfo>(
    nc,
    "$SYS.REQ.USER.INFO",
    undefined,
    timeoutMs,
    "NATS does not tell users what they may",
  ).catch((error: Error) => {
    throw new PublisherError("unavailable", `NATS does not say who this publisher is: ${error.message}`, {
      cause: error,
    });
  });
  for (const subject of info.data?.permissions?.publish?.allow ?? []) {
    const team = /^kata\.publisher\.([^.]+)\.>$/.exec(subject)?.[1];
    if (isId(team)) return team;
  }
  return undefined;
}

/**
 * Asks a broker what is needed to publish for the team, until one answers.
 *
 * @throws PublisherError `unavailable` if none does within `timeoutMs`
 */
export async function askAbout(reader: BrokerReader, timeoutMs: number): Promise<About> {
  const until = performance.now() + timeoutMs;
  for (let failures = 0; ; failures++) {
    try {
      return await reader.about();
    } catch (error) {
      const pauseMs = backoffMs(failures);
      if (performance.now() + pauseMs >= until) {
        const why = error instanceof Error ? error.message : String(error);
        throw new PublisherError("unavailable", `no broker says what to publish with: ${why}`, { cause: error });
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}
