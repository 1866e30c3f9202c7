import { createClosers } from "./closers.ts";
import { startDevelopment } from "./development.ts";
import { messageOf } from "./message.ts";
import type { NatsServer } from "./nats/server.ts";
import { welcome } from "./welcome.ts";

// `npm start`: everything on this machine, until Ctrl-C. This file knows the process: its signals, streams and exit code.

// npm passes Ctrl-C on to us, who got it from the terminal already: so soon after the first it is not a second one.
const SAME_KEYPRESS_MS = 500;

const PARENT_POLL_MS = 200;

const closers = createClosers((name, error) => complain(`${name} did not stop cleanly: ${messageOf(error)}`));
let nats: NatsServer | undefined;
let stopSince: number | undefined;

function complain(line: string): void {
  process.stderr.write(`kata: ${line}\n`);
}

async function stop(exitCode: number): Promise<void> {
  if (stopSince !== undefined) return;
  stopSince = performance.now();
  await closers.close();
  process.exit(exitCode);
}

function onSignal(): void {
  if (stopSince === undefined) return void stop(0);
  if (performance.now() - stopSince < SAME_KEYPRESS_MS) return;
  complain("stopped without waiting");
  // The signal is sent before the first await. What is on disk stays whole: the log recovers as after a crash.
  void nats?.kill();
  process.exit(1);
}

/**
 * npm runs us below a shell, and a SIGTERM for npm ends that shell and goes no further. That the parent has changed is
 * all there is to see of it.
 */
function stopWithNpm(): void {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) void stop(0);
  }, PARENT_POLL_MS).unref();
}

if (process.env.npm_lifecycle_event !== undefined) stopWithNpm();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);

try {
  const development = await startDevelopment({
    env: process.env,
    print: (line) => process.stdout.write(`${line}\n`),
    colored: process.stdout.isTTY && !process.env.NO_COLOR,
    closers,
    onNatsCreated: (server) => {
      nats = server;
    },
    onNatsCrash: (reason) => {
      complain(`nats-server ${reason}: stopping`);
      void stop(1);
    },
  });
  process.stdout.write(welcome(development));
} catch (error) {
  // Whoever stops a start half-way makes it fail; that is no news.
  if (stopSince === undefined) complain(messageOf(error));
  await stop(1);
}
