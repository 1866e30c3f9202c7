import { Counter, Gauge, Registry } from "prom-client";
import type { Delivery, DeliveryLimits } from "./delivery/delivery.ts";
import type { EventLog } from "./log/event-log.ts";
import type { Connection } from "./server/connection.ts";
import { STREAM_BYTES } from "./server/publish-stream.ts";

export interface Measured {
  readonly limits: DeliveryLimits;
  readonly delivery: Delivery;
  readonly log: EventLog;
  readonly connections: ReadonlySet<Connection>;
  /** How often each limit refused. */
  readonly refusals: Readonly<Record<string, number>>;
}

type Read = () => Readonly<Record<string, number>>;

/**
 * What a broker measures, read when it is asked for: nothing is counted twice, and nothing costs while nobody looks.
 *
 * @returns a function that gives it in the text format of Prometheus
 */
export function createMetrics({ limits, delivery, log, connections, refusals }: Measured): () => Promise<string> {
  const registry = new Registry();

  /** Shows what `read` finds: by the value of the label, or one figure under any name where there is no label. */
  const show =
    (Metric: typeof Gauge | typeof Counter) => (name: string, help: string, label: string | undefined, read: Read) => {
      registry.registerMetric(
        new Metric({
          name,
          help,
          registers: [],
          labelNames: label === undefined ? [] : [label],
          collect() {
            // Counted elsewhere and only shown here, a counter begins again each time; so does a gauge that lost a value.
            this.reset();
            for (const [value, figure] of Object.entries(read()))
              this.inc(label === undefined ? {} : { [label]: value }, figure);
          },
        }),
      );
    };
  const gauge = show(Gauge);
  const counter = show(Counter);

  gauge("kata_memory_bytes", "Bytes in use of what may be held", "of", () => {
    const { largestRingBytes, ringBytes, heldBytes, pageCacheBytes } = delivery.usage;
    return {
      ring: largestRingBytes,
      rings: ringBytes,
      held: heldBytes,
      pages: pageCacheBytes,
      socket: largest(connections, (each) => each.buffered()),
      publish_stream: largest(connections, (each) => each.held?.() ?? 0),
    };
  });
  gauge(
    "kata_memory_limit_bytes",
    "Bytes that may be held; ring, socket and publish_stream are for one of them",
    "of",
    () => ({
      ring: limits.ringBytes,
      rings: limits.ringTotalBytes,
      held: limits.heldBytes,
      pages: limits.pageCacheBytes,
      socket: limits.highWaterBytes,
      publish_stream: STREAM_BYTES,
    }),
  );
  gauge("kata_log_reads", "Answers with records on their way from the log, and questions that wait", "state", () => {
    const { readsInFlight, readsWaiting } = delivery.usage;
    return { in_flight: readsInFlight, waiting: readsWaiting };
  });
  gauge("kata_log_reads_limit", "Answers with records that may be on their way", undefined, () => ({
    all: limits.readsInFlight,
  }));
  gauge("kata_log_connected", "Whether the connection to NATS stands", undefined, () => ({
    now: log.connected ? 1 : 0,
  }));
  gauge("kata_connections", "Open connections", "transport", () => {
    const count = { websocket: 0, event_stream: 0, publish_stream: 0 };
    for (const { transport } of connections) count[transport]++;
    return count;
  });
  gauge("kata_sockets_buffered_bytes", "Unsent bytes of all connections", undefined, () => {
    let bytes = 0;
    for (const connection of connections) bytes += connection.buffered();
    return { all: bytes };
  });
  gauge("kata_channels", "Open channels", undefined, () => ({ all: delivery.usage.channels }));
  gauge("kata_subscriptions", "Subscriptions by phase", "phase", () => {
    const { locating, "catching up": catchingUp, paused, live } = delivery.usage.subscriptions;
    return { locating, catching_up: catchingUp, paused, live };
  });
  counter("kata_gaps_total", "Gaps that were told to readers", "reason", () => delivery.figures.gaps);
  counter("kata_readers_fell_behind_total", "Live readers that left the live feed, full", undefined, () => ({
    all: delivery.figures.fellBehind,
  }));
  counter(
    "kata_channel_repairs_total",
    "Channels that compared themselves with the log and read on",
    undefined,
    () => ({
      all: delivery.figures.repairs,
    }),
  );
  counter("kata_audits_total", "Comparisons of the open channels with the log", undefined, () => ({
    all: delivery.figures.audits,
  }));
  counter(
    "kata_invalid_lines_total",
    "Lines of stored records that are no events, as often as read",
    undefined,
    () => ({
      all: delivery.figures.invalidLines,
    }),
  );
  counter("kata_refused_total", "Connections, requests and commands that a limit refused", "limit", () => refusals);
  return () => registry.metrics();
}

function largest(connections: ReadonlySet<Connection>, bytesOf: (connection: Connection) => number): number {
  let most = 0;
  for (const connection of connections) most = Math.max(most, bytesOf(connection));
  return most;
}
