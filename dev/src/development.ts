import { type BrokerConfig, createBroker } from "@kata/broker";
import { createPublisher, type Publisher, type PublisherOptions } from "@kata/publisher";
import { writeAtomic } from "./atomic-file.ts";
import type { Closers } from "./closers.ts";
import { openDataDirectory, readDevKey } from "./data-directory.ts";
import { createLogForwarder } from "./log-forwarder.ts";
import { createLogging, createNatsLog } from "./logging.ts";
import type { NatsServer } from "./nats/server.ts";
import { keepNatsSecrets } from "./nats-secrets.ts";
import { startOwnNats } from "./own-nats.ts";
import { createDevKey, loadSettings } from "./settings.ts";

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
  const teamId = settings.broker.devTeamId;
  const apiKey = settings.broker.devApiKey ?? (await readDevKey(data.devFile)) ?? createDevKey();
  let config: BrokerConfig = { ...settings.broker, devApiKey: apiKey };
  if (settings.ownNats) {
    const secrets = await keepNatsSecrets(data.natsSecretsFile);
    const server = await startOwnNats({
      env,
      data,
      secrets,
      port: settings.natsPort,
      report: print,
      onLogLine: createNatsLog(logger),
      onCrash: options.onNatsCrash,
      onCreated(created, end) {
        options.onNatsCreated(created);
        closers.add("nats-server", end);
      },
    });
    const { brokerPassword, authSeed: natsAuthSeed, xkeySeed: natsXkeySeed } = secrets;
    const natsUrl = server.url.replace("//", `//broker:${brokerPassword}@`);
    config = { ...config, natsUrl, natsAuthSeed, natsXkeySeed };
  }

  let publisher: Publisher | undefined;
  // Known before the broker, so that it is ended after it and still publishes the broker's last lines.
  closers.add("the log's publisher", async () => {
    await forwarder.drain(LAST_WORDS_MS);
    // With what is left unpublished when NATS is away there is nothing more to do.
    await publisher?.close().catch(() => undefined);
  });
  const broker = await createBroker({ config, logger });
  closers.add("the broker", () => broker.close());
  // As everybody else who publishes. Where the broker vouches for nobody, NATS_URL says as whom.
  const vouches = config.natsAuthSeed !== undefined;
  const natsUrl = vouches ? config.natsUrl.replaceAll(/\/\/[^@/,]*@/g, "//") : config.natsUrl;
  const connected = await connectPublisher({
    servers: natsUrl,
    teamId,
    ...(vouches && { apiKey }),
    ...(config.natsCaFile !== undefined && { tls: { caFile: config.natsCaFile } }),
  });
  publisher = connected;
  forwarder.connect(({ payload, timestamp }) =>
    connected.publish(LOG_CHANNEL, { type: "log_entry", timestamp, payload }),
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

function connectPublisher(options: PublisherOptions): Promise<Publisher> {
  return createPublisher({
    ...options,
    // While NATS is away entries wait for as long as it takes; what is too much is dropped by the forwarder.
    publishTimeoutMs: Number.POSITIVE_INFINITY,
    closeTimeoutMs: LAST_WORDS_MS,
  });
}

/** Where a client on this machine finds a broker that listens everywhere. */
function reachable(url: string): string {
  return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
}
