import { type CommandLine, type PublisherSettings, publisherSettings, readerSettings } from "./settings.ts";
import { UsageError } from "./usage-error.ts";

/** Where to publish: NATS, or a broker over HTTP. */
export type PublishTarget =
  | PublisherSettings
  | { readonly url: string; readonly apiKey: string; readonly teamId?: string };

type Env = Readonly<Record<string, string | undefined>>;

/**
 * To a broker where the command line names one, or where the environment names a broker and no NATS; else to NATS.
 *
 * @throws UsageError if nothing says where, or two things do
 */
export function publishTarget(given: CommandLine, env: Env): PublishTarget {
  if (given.url !== undefined && given.nats !== undefined) {
    throw new UsageError("give --url for a broker or --nats for NATS, not both");
  }
  const viaBroker = given.url !== undefined || (given.nats === undefined && !env.NATS_URL && Boolean(env.KATA_URL));
  if (!viaBroker) return publisherSettings(given, env);
  const { url, apiKey } = readerSettings(given, env);
  const teamId = given.team ?? (env.KATA_TEAM || undefined);
  return { url: httpUrlOf(url), apiKey, ...(teamId !== undefined && { teamId }) };
}

/** The broker's HTTP API beside its WebSocket: `wss://host/ws` is `https://host`. */
function httpUrlOf(text: string): string {
  try {
    const url = new URL(text);
    const protocol = { "ws:": "http:", "http:": "http:", "wss:": "https:", "https:": "https:" }[url.protocol];
    if (protocol !== undefined && url.host !== "") {
      checkBare(url);
      return `${protocol}//${url.host}${url.pathname.replace(/\/(ws\/?)?$/, "")}`;
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    // It may hold a secret: it is not shown.
  }
  throw new UsageError("--url takes where the broker is: https://host, or ws://host:port/ws");
}

/** What would not be used is not dropped without a word: it was meant for something. */
function checkBare({ username, password, search, hash }: URL): void {
  if (username === "" && password === "" && search === "" && hash === "") return;
  throw new UsageError(
    "the broker's URL (--url, KATA_URL) takes no user, password or query: give the API key as KATA_API_KEY or --api-key",
  );
}
