import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findNatsServer, startNatsServer } from "@kata/dev";
import { NATS_CONF } from "../support/nats-process.ts";
import { NATS_SERVER_ENV } from "../support/nats-secrets.ts";

// A process that owns a nats-server as a test does, says which, and waits to be killed.
const { path } = await findNatsServer({ env: process.env, report: () => undefined });
const directory = await mkdtemp(join(tmpdir(), "kata-owner-"));
const server = await startNatsServer({
  binary: path,
  configFile: NATS_CONF,
  storeDir: join(directory, "store"),
  env: { ...process.env, ...NATS_SERVER_ENV },
  onParentDeath: "KILL",
  removeOnParentDeath: directory,
});
process.stdout.write(JSON.stringify({ pid: server.pid, directory }));
