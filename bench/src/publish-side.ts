import { parseChannel, STREAM, subjectOf } from "@kata/protocol/wire";
import { jetstreamManager } from "@nats-io/jetstream";
import { connectNats } from "../../tests/support/nats-connect.ts";
import { cpuSeconds } from "../../tests/support/process-usage.ts";
import { readLog } from "../../tests/support/stream.ts";
import type { Load, Loaded } from "./publish-load.ts";
import type { SystemName, Target } from "./publish-systems.ts";
import { startPublishing } from "./publishing.ts";
import { type Servers, type Sync, startServers } from "./servers.ts";
import { verifyStored } from "./stored-events.ts";

/** How `publish` differs from its default: records flushed to the disk before they are acknowledged, Kata through a broker's HTTP. */
export interface PublishOptions {
  readonly sync: Sync;
  readonly transport: "nats" | "http";
}

const TEAM = "demo";

/** What a system did in a run. */
export interface Observed extends Loaded {
  readonly natsCpuSeconds: number;
  readonly brokerCpuSeconds: number;
}

/** One system: a process that publishes. */
export interface Side extends AsyncDisposable {
  /** Publishes, reads the log back and empties it. Rejects unless every event is there once, in order, as it was published. */
  run(load: Load): Promise<Observed>;
}

/**
 * A system with servers of its own: what one leaves behind in them, the message ids that they remember for two minutes and a heap
 * that has grown, is not what another has to pay for.
 */
export async function openSide(system: SystemName, options: PublishOptions): Promise<Side> {
  const servers = await startServers({}, options.sync);
  const open: AsyncDisposable[] = [servers];
  const dispose = async () => {
    const failures: unknown[] = [];
    for (const each of open.splice(0).reverse()) {
      await Promise.resolve(each[Symbol.asyncDispose]()).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  };
  try {
    const log = await openLog(servers);
    open.push(log);
    const publishing = await startPublishing(system, targetOf(servers, options));
    open.push(publishing);
    const cpu = () => ({ nats: cpuSeconds(servers.natsPid), broker: cpuSeconds(servers.pid) });
    return {
      run: async (load) => {
        const before = cpu();
        const loaded = await publishing.load(load);
        const after = cpu();
        await log.verify(load.channels, loaded.events);
        return { ...loaded, natsCpuSeconds: after.nats - before.nats, brokerCpuSeconds: after.broker - before.broker };
      },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

export function targetOf(servers: Servers, { transport }: PublishOptions): Target {
  return {
    url: transport === "http" ? servers.httpUrl : servers.natsUrl,
    natsUrl: servers.natsUrl,
    apiKey: servers.apiKey,
    teamId: TEAM,
    stream: STREAM,
  };
}

export interface Log extends AsyncDisposable {
  /** Reads everything back, then empties the log. Rejects unless it holds the events [0, events), dealt out to the channels. */
  verify(channels: readonly string[], events: number): Promise<void>;
}

export async function openLog({ brokerNatsUrl }: Servers): Promise<Log> {
  const nc = await connectNats(brokerNatsUrl);
  const { streams } = await jetstreamManager(nc);
  return {
    verify: async (channels, events) => {
      verifyStored(await readLog(nc), channels.map(subjectFor), events);
      await streams.purge(STREAM);
    },
    [Symbol.asyncDispose]: () => nc.close(),
  };
}

function subjectFor(channel: string): string {
  const parsed = parseChannel(channel);
  if (parsed === undefined) throw new TypeError(`${channel} is no channel`);
  return subjectOf(parsed, TEAM);
}
