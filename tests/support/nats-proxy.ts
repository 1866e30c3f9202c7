import { type NatsFrame, NatsFrameReader } from "./nats-frames.ts";
import { brokerUrl } from "./nats-secrets.ts";
import { type Passage, startProxy, type TestProxy } from "./proxy.ts";

/** A message on its way from nats-server to a client. */
export type NatsMessage = Pick<NatsFrame, "subject" | "headers" | "payload">;

/** Messages that the proxy keeps to itself. */
export interface Swallowing {
  /** How many it was so far. */
  readonly count: number;
  /** Resolves once it was so many. */
  reaches(count: number): Promise<void>;
  /** From now on everything passes again; what was swallowed is gone. */
  stop(): void;
}

/** A proxy between NATS clients and nats-server that understands what they say. */
export interface NatsProxy extends TestProxy {
  /** What clients are given instead of the server's own, with the same user. */
  readonly url: string;
  /** Swallows every message to a client that `picks` picks, until it is stopped. */
  swallow(picks: (message: NatsMessage) => boolean): Swallowing;
  /** Swallows the next message to a client that `picks` picks, and that one alone; resolves with it when it did. */
  swallowNext(picks: (message: NatsMessage) => boolean): Promise<NatsMessage>;
  /** How many messages clients have published on subjects that begin so, since the start or the last reset. */
  published(subjectPrefix: string): number;
  resetPublished(): void;
}

/** Starts one in front of the nats-server at `target`, which need not be there yet. */
export async function startNatsProxy(target: { port: number }): Promise<NatsProxy> {
  const swallowers = new Set<(message: NatsMessage) => boolean>();
  const published = new Map<string, number>();

  const swallowed = (frame: NatsFrame): boolean => {
    if (frame.verb !== "MSG" && frame.verb !== "HMSG") return false;
    for (const picked of swallowers) if (picked(frame)) return true;
    return false;
  };
  const openPassage = (): Passage => {
    const client = new NatsFrameReader();
    const server = new NatsFrameReader();
    return {
      fromClient(chunk) {
        const frames = client.push(chunk);
        for (const { verb, subject } of frames) {
          if (verb === "PUB" || verb === "HPUB") published.set(subject, (published.get(subject) ?? 0) + 1);
        }
        return joined(frames);
      },
      fromServer: (chunk) => joined(server.push(chunk).filter((frame) => !swallowed(frame))),
    };
  };

  const proxy = await startProxy(target, openPassage);
  return Object.assign(proxy, {
    url: brokerUrl(proxy.port),
    swallow(picks: (message: NatsMessage) => boolean): Swallowing {
      let count = 0;
      const waiting = new Map<() => void, number>();
      const swallower = (message: NatsMessage): boolean => {
        if (!picks(message)) return false;
        count++;
        for (const [resolve, wanted] of waiting) if (count >= wanted) resolve();
        return true;
      };
      swallowers.add(swallower);
      return {
        get count() {
          return count;
        },
        reaches: (wanted) =>
          new Promise((resolve) => {
            if (count >= wanted) resolve();
            else waiting.set(resolve, wanted);
          }),
        stop: () => void swallowers.delete(swallower),
      };
    },
    swallowNext: (picks: (message: NatsMessage) => boolean) =>
      new Promise<NatsMessage>((resolve) => {
        const swallower = (message: NatsMessage): boolean => {
          if (!picks(message)) return false;
          swallowers.delete(swallower);
          resolve(message);
          return true;
        };
        swallowers.add(swallower);
      }),
    published: (subjectPrefix: string) =>
      [...published].reduce((sum, [subject, count]) => sum + (subject.startsWith(subjectPrefix) ? count : 0), 0),
    resetPublished: () => published.clear(),
  });
}

function joined(frames: readonly NatsFrame[]): Buffer {
  const pieces = frames.map((frame) => (frame.verb === "INFO" ? withoutOtherServers(frame.bytes) : frame.bytes));
  return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
}

/** A server of a cluster tells its clients of the others, and they would go there, past this proxy. */
function withoutOtherServers(info: Buffer): Buffer {
  const { connect_urls: _, ...rest } = JSON.parse(info.toString("utf8").slice("INFO".length)) as Record<
    string,
    unknown
  >;
  return Buffer.from(`INFO ${JSON.stringify(rest)}\r\n`);
}
