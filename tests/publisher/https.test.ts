import { createDevelopmentAuth } from "@kata/broker";
import { createPublisher, type Publisher, type PublisherOptions } from "@kata/publisher";
import { describe, expect, test, vi } from "vitest";
import { startBroker } from "../support/broker.ts";
import { createCertificate, noOpenSsl } from "../support/certificate.ts";
import { startNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { seededRandom } from "../support/random.ts";
import { ensureTestStream, readLog } from "../support/stream.ts";
import { createTempDirectory } from "../support/temp-directory.ts";
import { KEY, numbersOf, startLoad, TEAM, upTo } from "./rig.ts";

interface SecureRig extends AsyncDisposable {
  readonly proxy: TestProxy;
  readonly nc: Awaited<ReturnType<typeof connectNats>>;
  /** A publisher through the proxy, which believes the certificate. */
  publisher(options?: Partial<PublisherOptions>): Promise<Publisher>;
}

/** A broker that speaks https alone, and a proxy that breaks connections to it. */
async function createSecureRig(): Promise<SecureRig> {
  const directory = await createTempDirectory();
  const certificate = await createCertificate(directory.path);
  const nats = await startNats();
  const nc = await connectNats(nats.url);
  await ensureTestStream(nc);
  const { apiKeys, access } = createDevelopmentAuth({ apiKey: KEY, teamId: TEAM });
  const tls = { tlsCertFile: certificate.certFile, tlsKeyFile: certificate.keyFile };
  const broker = await startBroker({ nats, apiKeys, access, config: tls });
  const proxy = await startProxy({ port: broker.port });
  const publishers: Publisher[] = [];
  return {
    proxy,
    nc,
    publisher: async (options) => {
      const publisher = await createPublisher({
        url: `https://localhost:${proxy.port}`,
        apiKey: KEY,
        tls: { caFile: certificate.certFile },
        ackTimeoutMs: 500,
        ...options,
      });
      publishers.push(publisher);
      return publisher;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.allSettled(publishers.map((publisher) => publisher.close()));
      await proxy[Symbol.asyncDispose]();
      await broker.close();
      await nc.close();
      await nats[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

describe.skipIf(noOpenSsl)("over https", () => {
  test("events are stored in order over connections that are kept", async () => {
    await using rig = await createSecureRig();
    const publisher = await rig.publisher();
    for (const i of upTo(20)) await publisher.publish("agent:a1", { type: "log_entry", payload: { message: "m", i } });
    const large = { type: "log_entry", payload: { message: "x".repeat(400_000), i: 20 } };
    await publisher.publishMany("agent:a1", [large, { ...large, payload: { message: "m", i: 21 } }]);
    expect(numbersOf(await readLog(rig.nc))).toEqual(upTo(22));
    // One at a time: the first connection does for all.
    expect(rig.proxy.connections).toBe(1);
  });

  test("cut at any byte, also within the handshake and the acknowledgement: each event once, in order", async () => {
    await using rig = await createSecureRig();
    const random = seededRandom();
    const publisher = await rig.publisher({ maxRecordEvents: 20 });
    const load = startLoad(publisher, "agent:a1", 5_000, 50);
    let cuts = 0;
    for (;;) {
      const from = cuts % 2 === 0 ? "client" : "server";
      const cut = rig.proxy.cutAfter(Math.floor(random() * (from === "client" ? 40_000 : 8_000)), from);
      if (await Promise.race([cut.then(() => false), load.done.then(() => true)])) break;
      cuts++;
      const { settled } = load;
      await vi.waitFor(() => expect(load.settled > settled || load.settled === 5_000).toBe(true), { timeout: 10_000 });
    }
    expect(cuts).toBeGreaterThan(5);
    expect(numbersOf(await readLog(rig.nc))).toEqual(upTo(5_000));
  }, 60_000);

  test("a certificate that nobody vouches for, or of another host, gets no key and no event", async () => {
    await using rig = await createSecureRig();
    await expect(rig.publisher({ tls: {}, connectTimeoutMs: 300 })).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/^the broker at localhost:\d+ cannot be reached: .*self.signed certificate/),
    });
    const other = `https://127.0.0.2:${rig.proxy.port}`;
    await expect(rig.publisher({ url: other, connectTimeoutMs: 300 })).rejects.toMatchObject({ code: "unavailable" });
    // In the clear it is not even asked.
    const clear = { url: `http://localhost:${rig.proxy.port}`, connectTimeoutMs: 300 };
    await expect(rig.publisher(clear)).rejects.toThrow(TypeError);
    expect(await readLog(rig.nc)).toEqual([]);
  });
});
