import { execFileSync } from "node:child_process";
import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer, Wait } from "testcontainers";
import { freePort } from "./free-port.ts";
import type { TestNats } from "./nats.ts";
import { NATS_CONF } from "./nats-process.ts";
import { brokerUrl, NATS_SERVER_ENV } from "./nats-secrets.ts";

const READY = "Server is ready";
const START_TIMEOUT_MS = 20_000;

/**
 * nats-server in a container of the image `KATA_TEST_NATS_IMAGE` (default: the official one), whose entry point takes
 * nats-server's flags. Where testcontainers' cleaner is off (TESTCONTAINERS_RYUK_DISABLED), a killed test leaves its container.
 */
export async function startContainerNats(): Promise<TestNats> {
  const port = await freePort();
  const started = await new GenericContainer(process.env.KATA_TEST_NATS_IMAGE || "nats:2.15")
    .withCommand(["-c", "/kata/nats.conf", "-a", "0.0.0.0"])
    .withEnvironment({ KATA_NATS_STORE_DIR: "/kata/store", ...NATS_SERVER_ENV })
    .withCopyFilesToContainer([{ source: NATS_CONF, target: "/kata/nats.conf" }])
    // The same host port after a restart: clients come back to it.
    .withExposedPorts({ container: 4222, host: port })
    .withWaitStrategy(Wait.forLogMessage(READY))
    .withStartupTimeout(START_TIMEOUT_MS)
    .start();
  const container = await findContainer(started);
  let suspended = false;

  // By the command, which returns when it is done: a suspended server must be so before the test goes on.
  const pause = (on: boolean): void => {
    if (suspended === on) return;
    execFileSync("docker", [on ? "pause" : "unpause", started.getId()], { stdio: ["ignore", "ignore", "inherit"] });
    suspended = on;
  };
  const end = async (signal: "SIGTERM" | "SIGKILL"): Promise<void> => {
    if (!(await container.inspect()).State.Running) return;
    pause(false);
    const ended = container.wait();
    await container.kill({ signal });
    await ended;
  };
  return {
    url: brokerUrl(port),
    publicUrl: `nats://127.0.0.1:${port}`,
    port,
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
    start: () => startAgain(container),
    suspend: () => pause(true),
    resume: () => pause(false),
    async [Symbol.asyncDispose]() {
      await end("SIGKILL");
      await started.stop();
    },
  };
}

async function findContainer(started: StartedTestContainer) {
  const client = await getContainerRuntimeClient();
  return client.container.getById(started.getId());
}

type Container = Awaited<ReturnType<typeof findContainer>>;

async function startAgain(container: Container): Promise<void> {
  if ((await container.inspect()).State.Running) return;
  // Attached before it starts, so that what it says from now on is all there is to read.
  const output = await container.attach({ stream: true, stdout: true, stderr: true });
  let text = "";
  let timer: NodeJS.Timeout | undefined;
  const ready = new Promise<void>((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`nats-server is not ready: ${text}`)), START_TIMEOUT_MS);
    output.on("data", (chunk: Buffer) => {
      text += chunk.toString("utf8");
      if (text.includes(READY)) resolve();
    });
    output.on("end", () => reject(new Error(`nats-server ended: ${text}`)));
  });
  try {
    await Promise.all([container.start(), ready]);
  } finally {
    clearTimeout(timer);
  }
}
