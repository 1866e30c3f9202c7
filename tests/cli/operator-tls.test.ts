import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findNatsServer, startNatsServer } from "@kata/dev";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCertificate, noOpenSsl } from "../support/certificate.ts";
import { freePort } from "../support/free-port.ts";
import { createTempDirectory, type TempDirectory } from "../support/temp-directory.ts";
import { expectRefusal } from "./administering.ts";
import { kata } from "./rig.ts";

let directory: TempDirectory;
const at = (name: string) => join(directory.path, name);
const list = (url: string, env: Record<string, string> = {}) =>
  kata(["channels", "list", "--json", "--nats", url, "--team", "t1"], env).ended;

beforeAll(async () => {
  directory = await createTempDirectory();
});
afterAll(() => directory?.[Symbol.asyncDispose]());

describe.skipIf(noOpenSsl)("kata on a NATS with TLS", () => {
  it("trusts it for KATA_NATS_CA_FILE's sake, as a broker does, and shows its own certificate", async () => {
    const { certFile, keyFile } = await createCertificate(directory.path);
    const tls = `cert_file: "${certFile}", key_file: "${keyFile}", ca_file: "${certFile}", verify: true`;
    await writeFile(at("nats.conf"), `jetstream { store_dir: $KATA_NATS_STORE_DIR }\ntls { ${tls} }\n`);
    const { path } = await findNatsServer({ env: process.env, report: () => undefined });
    const nats = await startNatsServer({
      binary: path,
      configFile: at("nats.conf"),
      storeDir: at("store"),
      port: await freePort(),
      onParentDeath: "KILL",
    });
    try {
      const url = `tls://localhost:${nats.port}`;
      const ca = { KATA_NATS_CA_FILE: certFile };
      const own = { KATA_NATS_CERT_FILE: certFile, KATA_NATS_KEY_FILE: keyFile };
      expect(await list(url, { ...ca, ...own })).toMatchObject({ code: 0, stdout: "[]\n", stderr: "" });
      const unreachable =
        /^kata: cannot reach NATS at tls:\/\/localhost:\d+ \(.+\): .+ and look at KATA_NATS_CA_FILE$/m;
      for (const env of [{}, ca, own]) expectRefusal(await list(url, env), unreachable);
    } finally {
      await nats.kill();
    }
  });
});

it("what is set for TLS by halves, or is not there, is one line and exit code 1", async () => {
  const url = `nats://127.0.0.1:${await freePort()}`;
  for (const half of ["KATA_NATS_CERT_FILE", "KATA_NATS_KEY_FILE"]) {
    expectRefusal(
      await list(url, { [half]: at("x.pem") }),
      /KATA_NATS_CERT_FILE and KATA_NATS_KEY_FILE belong together/,
    );
  }
  expectRefusal(await list(url, { KATA_NATS_CA_FILE: at("nowhere.pem") }), /look at KATA_NATS_CA_FILE$/m);
});
