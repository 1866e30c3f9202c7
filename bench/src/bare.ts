import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Subprotocol } from "../../tests/support/herd.ts";
import { connectNats } from "../../tests/support/nats-connect.ts";
import { BARE_SUBJECT } from "./bare-subject.ts";

/** A running bare-server.ts and the way to feed it. */
export interface BareServer extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  /** Publishes the envelopes of a record to whoever is subscribed; resolves when the log has it. */
  publish(record: Buffer): Promise<void>;
  /** Keeps the envelopes of a record for those who come back; resolves when it has them. */
  keep(record: Buffer): Promise<void>;
  forget(): Promise<void>;
}

export async function startBareServer(natsUrl: string, protocol: Subprotocol): Promise<BareServer> {
  const child = fork(fileURLToPath(new URL("./bare-server.ts", import.meta.url)), [natsUrl, protocol]);
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  const nats = await connectNats(natsUrl);
  return {
    pid: child.pid ?? 0,
    port,
    publish: async (record) => {
      const { error } = (await nats.request(BARE_SUBJECT, record)).json<{ error?: unknown }>();
      if (error !== undefined) throw new Error(`the log refused a record: ${JSON.stringify(error)}`);
    },
    keep: async (record) => void (await nats.request("bench.keep", record)),
    forget: async () => void (await nats.request("bench.forget")),
    async [Symbol.asyncDispose]() {
      await nats.close();
      const exited = once(child, "exit");
      if (child.kill("SIGKILL")) await exited;
    },
  };
}
