// By path: the global set-up is loaded without the conditions that lead to the sources of the packages.
import { findNatsServer } from "../../dev/src/nats/find.ts";

/** Finds or fetches nats-server once, before test files that run side by side would all do it. */
export async function setup(): Promise<void> {
  if ((process.env.KATA_TEST_NATS ?? "process") !== "process") return;
  await findNatsServer({ env: process.env, report: (line) => process.stderr.write(`${line}\n`) });
}
