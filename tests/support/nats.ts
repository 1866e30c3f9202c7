import { startContainerNats } from "./nats-container.ts";
import { startProcessNats } from "./nats-process.ts";

/** A nats-server of a test's own: own port, own directory, the repository's nats.conf. Dispose it with `await using`. */
export interface TestNats extends AsyncDisposable {
  /**
   * nats://broker:<password>@127.0.0.1:<port>, the same after kill() or stop() and start(): as a broker, and as tests that act as
   * trusted strangers, who read and write the log directly.
   */
  readonly url: string;
  /** nats://127.0.0.1:<port>, for publishers that present an API key. */
  readonly publicUrl: string;
  readonly port: number;
  /** Where JetStream keeps its files; undefined in a container, whose files are out of reach. */
  readonly storeDirectory?: string;
  /** SIGKILL; resolves when it is dead. */
  kill(): Promise<void>;
  /** SIGTERM; resolves when it has ended. */
  stop(): Promise<void>;
  /** Runs it again: the same port, the same data. Resolves when it answers, JetStream included. */
  start(): Promise<void>;
  /** SIGSTOP: connections stay open, nothing is answered. */
  suspend(): void;
  resume(): void;
}

/**
 * Starts a nats-server: as a process (default), or in a container with `KATA_TEST_NATS=container` and the image that
 * `KATA_TEST_NATS_IMAGE` names. The finder's variables (NATS_SERVER_BIN, KATA_CACHE_DIR …) choose the process's program;
 * NATS_URL does not count here, since tests kill their server.
 */
export function startNats(): Promise<TestNats> {
  const backend = process.env.KATA_TEST_NATS ?? "process";
  if (backend === "process") return startProcessNats();
  if (backend === "container") return startContainerNats();
  throw new Error(`KATA_TEST_NATS is "process" or "container", not "${backend}"`);
}
