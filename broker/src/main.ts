#!/usr/bin/env node
import { pino } from "pino";
import { createBroker } from "./broker.ts";
import { loadBrokerConfig } from "./config.ts";

/** Runs one broker with settings from the environment, until SIGTERM or SIGINT. */
async function main(): Promise<void> {
  const config = loadBrokerConfig(process.env);
  const logger = pino({ level: config.logLevel });
  const broker = await createBroker({
    config,
    logger,
    // Whoever keeps this process running starts it again.
    onFatal: () => process.exit(1),
  });
  const stop = (signal: string) => {
    logger.info({ signal }, "stopping");
    broker.close().then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error({ err: error }, "stopping failed");
        process.exit(1);
      },
    );
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
}

main().catch((error: unknown) => {
  process.stderr.write(`kata: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
