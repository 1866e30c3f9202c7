import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { get } from "node:https";
import { join } from "node:path";
import { promisify } from "node:util";
import { type BrokerConfig, ConfigError } from "@kata/broker";
import { findNatsServer, type NatsServer, startNatsServer } from "@kata/dev";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { startBroker, TEST_KEY } from "../support/broker.ts";
import { noOpenSsl } from "../support/certificate.ts";
import { freePort } from "../support/free-port.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { createTempDirectory, type TempDirectory } from "../support/temp-directory.ts";

const run = promisify(execFile);

let directory: TempDirectory;
let nats: TestNats;
const at = (name: string) => join(directory.path, name);

/** An authority, what it signed for this machine and for a broker, and a key that belongs to nothing. */
async function createCertificates(): Promise<void> {
  const openssl = (...args: string[]) => run("openssl", args, { cwd: directory.path });
  const newKey = (name: string) =>
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", `${name}.key`);
  await newKey("ca");
  await openssl(
    "req",
    "-x509",
    "-new",
    "-key",
    "ca.key",
    "-subj",
    "/CN=Test authority",
    "-days",
    "2",
    "-out",
    "ca.pem",
  );
  await writeFile(at("server.ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  for (const name of ["server", "client"]) {
    await newKey(name);
    await openssl("req", "-new", "-key", `${name}.key`, "-subj", `/CN=${name}`, "-out", `${name}.csr`);
    await openssl(
      ...["x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"],
      ...["-extfile", "server.ext", "-out", `${name}.pem`],
    );
  }
  await newKey("other");
  await writeFile(at("text.pem"), "neither a certificate nor a key\n");
}

beforeAll(async () => {
  if (noOpenSsl) return;
  directory = await createTempDirectory();
  await createCertificates();
  nats = await startNats();
});

afterAll(async () => {
  await nats?.[Symbol.asyncDispose]();
  await directory?.[Symbol.asyncDispose]();
});

describe.skipIf(noOpenSsl)("a broker with a certificate", () => {
  it("speaks https and wss, and nothing in the clear", async () => {
    const lines: string[] = [];
    const note = (...parts: unknown[]) => void lines.push(JSON.stringify(parts));
    await using broker = await startBroker({
      nats,
      config: { tlsCertFile: at("server.pem"), tlsKeyFile: at("server.key") },
      logger: { debug: note, info: note, warn: note, error: note },
    });
    expect(broker.httpUrl).toBe(`https://127.0.0.1:${broker.port}`);
    expect(broker.wsUrl).toBe(`wss://127.0.0.1:${broker.port}/ws`);
    expect(lines.filter((line) => line.includes(`listening on ${broker.httpUrl}`))).toHaveLength(1);

    const ca = readFileSync(at("ca.pem"));
    const body = await read(`${broker.httpUrl}/readyz`, ca);
    expect(JSON.parse(body)).toEqual({ status: "ready" });

    const socket = new WebSocket(broker.wsUrl, { ca, headers: { "x-api-key": TEST_KEY } });
    try {
      const messages: string[] = [];
      socket.on("message", (data) => messages.push((JSON.parse(data.toString()) as { type: string }).type));
      await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
      socket.send(JSON.stringify({ type: "subscribe", channel: "team:demo" }));
      await expect.poll(() => messages).toEqual(["subscribed", "caught_up"]);
    } finally {
      socket.terminate();
    }

    const event = await firstEvent(`${broker.httpUrl}/v1/channels/team:demo/stream`, ca);
    expect(event).toContain("event: subscribed");
    await expect(read(`${broker.httpUrl}/readyz`, undefined)).rejects.toThrow(/certificate|self.signed/);
    await expect(fetch(`http://127.0.0.1:${broker.port}/readyz`)).rejects.toThrow();
  });
});

function read(url: string, ca: Buffer | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { ca, agent: false }, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => {
        text += chunk.toString("utf8");
      });
      response.on("end", () => resolve(text));
    }).on("error", reject);
  });
}

/** What an event stream says until it has said that it is subscribed. */
function firstEvent(url: string, ca: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { ca, agent: false, headers: { "x-api-key": TEST_KEY } }, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => {
        text += chunk.toString("utf8");
        if (!text.includes("subscribed")) return;
        request.destroy();
        resolve(text);
      });
    }).on("error", reject);
  });
}

describe.skipIf(noOpenSsl)("files that cannot be used", () => {
  it.each<[string, () => Partial<BrokerConfig>, RegExp]>([
    [
      "a certificate alone",
      () => ({ tlsCertFile: at("server.pem") }),
      /^KATA_TLS_CERT_FILE is set and KATA_TLS_KEY_FILE is not/,
    ],
    [
      "a key alone",
      () => ({ tlsKeyFile: at("server.key") }),
      /^KATA_TLS_KEY_FILE is set and KATA_TLS_CERT_FILE is not/,
    ],
    [
      "a certificate that is not there",
      () => pair("nowhere.pem", "server.key"),
      /^KATA_TLS_CERT_FILE cannot be read \(ENOENT\)/,
    ],
    ["a key that is a directory", () => pair("server.pem", "."), /^KATA_TLS_KEY_FILE cannot be read \(EISDIR\)/],
    [
      "a certificate that is none",
      () => pair("text.pem", "server.key"),
      /^KATA_TLS_CERT_FILE does not hold a certificate/,
    ],
    ["a key that is none", () => pair("server.pem", "text.pem"), /^KATA_TLS_KEY_FILE does not hold a private key/],
    [
      "another's key",
      () => pair("server.pem", "other.key"),
      /^KATA_TLS_KEY_FILE is not the key of the certificate in KATA_TLS_CERT_FILE/,
    ],
    [
      "NATS: an authority that is none",
      () => ({ natsCaFile: at("text.pem") }),
      /^KATA_NATS_CA_FILE does not hold a certificate/,
    ],
    [
      "NATS: a certificate alone",
      () => ({ natsCertFile: at("client.pem") }),
      /^KATA_NATS_CERT_FILE is set and KATA_NATS_KEY_FILE is not/,
    ],
    [
      "NATS: another's key",
      () => ({ natsCertFile: at("client.pem"), natsKeyFile: at("other.key") }),
      /^KATA_NATS_KEY_FILE is not the key of the certificate in KATA_NATS_CERT_FILE/,
    ],
  ])("(%s) end the start with one line, before anything is connected", async (_, config, line) => {
    // Nothing is there: who tried to connect would say so.
    const nowhere = { url: `nats://127.0.0.1:${await freePort()}` };
    const start = startBroker({ nats: nowhere, config: config() });
    await expect(start).rejects.toBeInstanceOf(ConfigError);
    await expect(start).rejects.toThrow(line);
    await expect(start).rejects.not.toThrow(/\n/);
  });

  const pair = (cert: string, key: string) => ({ tlsCertFile: at(cert), tlsKeyFile: at(key) });
});

describe.skipIf(noOpenSsl)("NATS with TLS", () => {
  const withNats = async (verify: boolean, use: (server: NatsServer) => Promise<void>) => {
    const name = verify ? "verifying" : "serving";
    await writeFile(
      at(`${name}.conf`),
      `jetstream { store_dir: $KATA_NATS_STORE_DIR }
tls { cert_file: "${at("server.pem")}", key_file: "${at("server.key")}", ca_file: "${at("ca.pem")}", verify: ${verify} }
`,
    );
    const { path } = await findNatsServer({ env: process.env, report: () => undefined });
    const server = await startNatsServer({
      binary: path,
      configFile: at(`${name}.conf`),
      storeDir: at(name),
      port: await freePort(),
      onParentDeath: "KILL",
    });
    try {
      await use(server);
    } finally {
      await server.kill();
    }
  };
  const tls = ({ port }: NatsServer) => ({ url: `tls://localhost:${port}` });
  const ready = async (broker: { httpUrl: string }) => (await fetch(`${broker.httpUrl}/readyz`)).status;
  const refused = {
    code: "NATS_UNREACHABLE",
    message: expect.stringMatching(/^cannot reach NATS at [^\n]+ set NATS_URL and KATA_NATS_CA_FILE$/),
  };

  it("is trusted for its authority's sake, and for nothing else", async () => {
    await withNats(false, async (server) => {
      await using broker = await startBroker({ nats: tls(server), config: { natsCaFile: at("ca.pem") } });
      expect(await ready(broker)).toBe(200);
      await expect(startBroker({ nats: tls(server) })).rejects.toMatchObject(refused);
      const foreign = { natsCaFile: at("foreign.pem") };
      await writeFile(at("foreign.pem"), await selfSigned());
      await expect(startBroker({ nats: tls(server), config: foreign })).rejects.toMatchObject(refused);
      // It comes back the same way after an outage.
      await server.kill();
      await server.start();
      await expect.poll(() => ready(broker), { timeout: 10_000 }).toBe(200);
    });
  });

  it("is shown the broker's own certificate where it wants to see one", async () => {
    await withNats(true, async (server) => {
      const config = { natsCaFile: at("ca.pem") };
      const own = { natsCertFile: at("client.pem"), natsKeyFile: at("client.key") };
      await using broker = await startBroker({ nats: tls(server), config: { ...config, ...own } });
      expect(await ready(broker)).toBe(200);
      await expect(startBroker({ nats: tls(server), config })).rejects.toMatchObject(refused);
    });
  });

  it("is not done without where it was asked for", async () => {
    const open = nats.url.replace("nats://", "tls://");
    await expect(startBroker({ nats: { url: open } })).rejects.toMatchObject(refused);
    await expect(startBroker({ nats, config: { natsCaFile: at("ca.pem") } })).rejects.toMatchObject(refused);
    await using broker = await startBroker({ nats });
    expect(await ready(broker)).toBe(200);
  });

  async function selfSigned(): Promise<Buffer> {
    const args = ["req", "-x509", "-new", "-key", "other.key", "-subj", "/CN=Another authority", "-days", "2"];
    await run("openssl", [...args, "-out", "other.pem"], { cwd: directory.path });
    return readFileSync(at("other.pem"));
  }
});
