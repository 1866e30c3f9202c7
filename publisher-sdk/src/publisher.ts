import type { AnyEvents, EndReason, EventMap } from "@kata/protocol/wire";
import type { EventInputOf } from "./events.ts";
import { isHttp, type PublisherOptions, settingsOf } from "./options.ts";
import type { PublishOutcome, PublishResult } from "./outcome.ts";
import { overHttp } from "./over-http.ts";
import { overNats } from "./over-nats.ts";
import type { Source } from "./pipe.ts";
import type { PipeOptions, PipeResult, PublisherStats, PublishManyOptions, PublishOptions } from "./publish-options.ts";

/**
 * Appends events to the log. `E` maps the application's own event types to their payloads: then `publish` takes those
 * and the protocol's, and nothing else. Without it any type and payload goes.
 */
export interface Publisher<E extends EventMap = AnyEvents> extends AsyncDisposable {
  /**
   * Resolves when the log has the event. Events of a channel are stored in the order of the calls. Rejects with a
   * {@link PublisherError}; it never throws.
   */
  publish(channel: string, event: EventInputOf<E>, options?: PublishOptions): Promise<PublishResult>;
  /**
   * The same for several events of a channel, accepted all or none. If any of them is rejected, it rejects with the first one's error
   * when all of them are settled; `stored` is `unknown` then where the log has, or may have, some of them.
   */
  publishMany(
    channel: string,
    events: readonly EventInputOf<E>[],
    options?: PublishManyOptions,
  ): Promise<PublishResult[]>;
  /**
   * The same, answered for each event by itself: with its result, or with why it was rejected. Rejects only where none was accepted.
   */
  publishEach(
    channel: string,
    events: readonly EventInputOf<E>[],
    options?: PublishManyOptions,
  ): Promise<PublishOutcome[]>;
  /**
   * Publishes what a source gives, in its order, and takes no more from it while too much is on its way: for streams of any length.
   * Resolves when the source has ended and the log has all of it. At the first event that is rejected it takes nothing more, waits
   * until what is on its way is settled, and rejects with that one's code; so it does with an error of the source's own or of
   * `onResult`, with `closed` when the publisher is, and with `aborted` when the signal is, which takes back what has not been sent and
   * does not wait for what has.
   *
   * The error's `stored` is about all of the pipe's events. `no`: of those that `onResult` was not told of, none is in the log or will get
   * there. `unknown`: some are, or may be; so it is without an `onResult` as soon as one was stored. An error that is no
   * {@link PublisherError}, the source's own, says nothing of that.
   */
  pipe(source: Source<EventInputOf<E>>, options: PipeOptions<string>): Promise<PipeResult>;
  pipe(source: Source<ChannelEvent<E>>, options?: PipeOptions<undefined>): Promise<PipeResult>;
  /** [EVENT-6] Publishes a channel's last event, `stream_ended`: a reader can tell that it is over from that nothing comes. */
  end(channel: string, options: { readonly reason: EndReason } & PublishOptions): Promise<PublishResult>;
  /** Resolves when everything accepted so far is settled, one way or the other. */
  flush(): Promise<void>;
  /**
   * Resolves when everything accepted so far is in the spool, on disk: from then on it survives this process. Rejects with `spool_failed`,
   * and with a TypeError where there is no spool.
   */
  spooled(): Promise<void>;
  /**
   * Takes nothing more, waits up to `closeTimeoutMs` until the rest is settled, then rejects what is left and closes the
   * connection if it is its own. Rejects if something was left: with `unavailable`, or where a spool keeps it `spooled`; with `spool_failed`
   * where that cannot.
   */
  close(): Promise<void>;
  /** What it has done and what it is at, now. */
  readonly stats: PublisherStats;
}

/** What takes log entries: a publisher of whatever events, since every one has those of the protocol. */
export type LogPublisher = Pick<Publisher<object>, "publish" | "publishEach" | "flush">;

/** An event that says where it goes. */
export type ChannelEvent<E extends EventMap = AnyEvents> = EventInputOf<E> & { readonly channel: string };

/**
 * Connects to NATS, or to a broker, and resolves when it is connected. With an `apiKey`, brokers say what else there is to know:
 * the team and what its message ids are made with. A stream that is not there yet, or has no leader, is waited for by what
 * is published. Over HTTP, with a `spool` and a `teamId`, it need not be connected ({@link PublisherOptions.spool}).
 *
 * @throws TypeError for bad options, PublisherError `unavailable`, `unauthenticated`, `forbidden`; `closed` for a connection that is
 */
export async function createPublisher<E extends EventMap = AnyEvents>(
  options: PublisherOptions,
): Promise<Publisher<E>> {
  const settings = settingsOf(options);
  const publisher = isHttp(options.url) ? overHttp(options.url, options, settings) : overNats(options, settings);
  // Which events there are is for the compiler alone: every publisher takes all of them.
  return (await publisher) as unknown as Publisher<E>;
}
