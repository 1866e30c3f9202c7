import { createBroker, createDevelopmentAuth } from "@kata/broker";
import { createPublisher, type Publisher } from "@kata/publisher";
import { writeAtomic } from "./atomic-file.ts";
import type { Closers } from "./closers.ts";
import { openDataDirectory, readDevKey } from "./data-directory.ts";
import { createLogForwarder } from "./log-forwarder.ts";
import { createLogging, createNatsLog } from "./logging.ts";
import { messageOf } from "./message.ts";
import type { NatsServer } from "./nats/server.ts";
import { startOwnNats } from "./own-nats.ts";
import { createDevKey, loadSettings } from "./settings.ts";
import { UserError } from "./user-error.ts";

/** The channel that tells what the broker and its nats-server log. */
export const LOG_CHANNEL = "agent:broker";

const LAST_WORDS_MS = 1_000;

/** What `dev.json` holds. */
export interface DevFile {
  readonly httpUrl: string;
  readonly wsUrl: string;
  readonly natsUrl: string;
  readonly teamId: string;
  readonly apiKey: string;
}

export interface DevelopmentOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly print: (line: string) => void;
  readonly colored: boolean;
  /** Told how to end each part, as soon as there is something to end. */
  readonly closers: Closers;
  readonly onNatsCreated: (server: NatsServer) => void;
  readonly onNatsCrash: (reason: string) => void;
}

export interface Development extends DevFile {
  readonly dataDirectory: string;
  readonly devFile: string;
}

/** The wiring of `npm start`: nats-server unless there is one, the broker, and the log of both as events. */
export async function startDevelopment(options: DevelopmentOptions): Promise<Development> {
  const { env, print, colored, closers } = options;
  const settings = loadSettings(env);
  const data = await openDataDirectory(settings.dataDirectory);
  const forwarder = createLogForwarder();
  const logger = createLogging({ level: settings.broker.logLevel, print, colored, forward: (e) => forwarder.write(e) });
  let natsUrl = settings.broker.natsUrl;
  if (settings.ownNats) {
    const server = await startOwnNats({
      env,
      data,
      port: settings.natsPort,
      report: print,
      onLogLine: createNatsLog(logger),
      onCrash: options.onNatsCrash,
      onCreated(created, end) {
        options.onNatsCreated(created);
        closers.add("nats-server", end);
      },
    });
    natsUrl = server.url;
  }

  const teamId = settings.broker.devTeamId;
  const apiKey = settings.broker.devApiKey ?? (await readDevKey(data.devFile)) ?? createDevKey();
  // Made before the broker, so that it is ended after it and still publishes the broker's last lines.
  const publisher = await connectPublisher(natsUrl, teamId, settings.ownNats);
  closers.add("the log's publisher", async () => {
    await forwarder.drain(LAST_WORDS_MS);
    // With what is left unpublished when NATS is away there is nothing more to do.
    await publisher.close().catch(() => undefined);
  });
  const config = { ...settings.broker, natsUrl };
  const broker = await createBroker({ config, logger, ...createDevelopmentAuth({ apiKey, teamId }) });
  closers.add("the broker", () => broker.close());
  forwarder.connect(({ payload, timestamp }) =>
    publisher.publish(LOG_CHANNEL, { type: "log_entry", timestamp, payload }),
  );

  closers.add("the log", async () => logger.info("stopping"));

  const file: DevFile = {
    httpUrl: reachable(broker.httpUrl),
    wsUrl: reachable(broker.wsUrl),
    natsUrl,
    teamId,
    apiKey,
  };
  await writeAtomic(data.devFile, `${JSON.stringify(file, undefined, 2)}\n`);
  return { ...file, dataDirectory: data.path, devFile: data.devFile };
}

async function connectPublisher(natsUrl: string, teamId: string, ownNats: boolean): Promise<Publisher> {
  try {
    return await createPublisher({
      servers: natsUrl.split(",").map((server) => server.trim()),
      teamId,
      // While NATS is away entries wait for as long as it takes; what is too much is dropped by the forwarder.
      publishTimeoutMs: Number.POSITIVE_INFINITY,
      closeTimeoutMs: LAST_WORDS_MS,
    });
  } catch (error) {
    if (ownNats) throw error;
    throw new UserError(`${messageOf(error)}: start that server, correct NATS_URL, or unset it to have one started`);
  }
}

/** Where a client on this machine finds a broker that listens everywhere. */
function reachable(url: string): string {
  return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
}
