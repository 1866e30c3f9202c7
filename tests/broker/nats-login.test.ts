import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findNatsServer, startNatsServer } from "@kata/dev";
import { describe, expect, it } from "vitest";
import { startBroker } from "../support/broker.ts";
import { freePort } from "../support/free-port.ts";

const CONF = `
jetstream { store_dir: $KATA_NATS_STORE_DIR }
authorization { user: "broker", password: "s3cret@ word" }
`;

describe("NATS_URL", () => {
  it("may carry a user and a password; a refusal, or a server that is away, is one line without them", async () => {
    const directory = await mkdtemp(join(tmpdir(), "kata-login-"));
    const configFile = join(directory, "nats.conf");
    await writeFile(configFile, CONF);
    const { path } = await findNatsServer({ env: process.env, report: () => undefined });
    const nats = await startNatsServer({
      binary: path,
      configFile,
      storeDir: join(directory, "store"),
      port: await freePort(),
      onParentDeath: "KILL",
    });
    try {
      const at = (login: string) => ({ nats: { url: `nats://${login}127.0.0.1:${nats.port}` } });
      await using broker = await startBroker(at("broker:s3cret%40%20word@"));
      expect((await fetch(`${broker.httpUrl}/readyz`)).status).toBe(200);
      for (const login of ["", "broker:wrong@"]) {
        await expect(startBroker(at(login))).rejects.toMatchObject({
          code: "NATS_UNREACHABLE",
          message: expect.stringMatching(
            /^cannot reach NATS at nats:\/\/127\.0\.0\.1:\d+ \([^\n]+\): start it, or set NATS_URL$/,
          ),
        });
      }
      await broker.close();
      await nats.stop();
      await expect(startBroker(at("broker:wrong@"))).rejects.toMatchObject({
        code: "NATS_UNREACHABLE",
        message: expect.not.stringContaining("wrong"),
      });
    } finally {
      await nats.kill();
      await rm(directory, { recursive: true, force: true });
    }
  });
});
