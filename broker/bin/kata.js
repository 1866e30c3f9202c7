#!/usr/bin/env node
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

// A checkout runs from its sources (only it has a tsconfig.json), an installed package from its compiled JavaScript.
const checkout = existsSync(new URL("../tsconfig.json", import.meta.url));

if (!checkout) {
  await import("../dist/cli/main.js");
} else {
  const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
  const tsx = import.meta.resolve("tsx");
  const args = ["--conditions=kata-source", "--import", tsx, main, ...process.argv.slice(2)];
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  // Ctrl-C reaches the child by itself, and it decides when it is done; SIGTERM has to be passed on.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}
