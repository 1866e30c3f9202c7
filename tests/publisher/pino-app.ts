import { pino } from "pino";

/**
 * An application that logs with pino's transport, in a process of its own: `before` lines at once, `after` lines when its stdin says
 * so, then it ends as Node programs do, by having nothing left to do. Its last line is written last of all.
 */
const [options = "{}", before = "0", after = "0"] = process.argv.slice(2);

const transport = pino.transport({
  target: "@kata/publisher/pino",
  options: JSON.parse(options),
  worker: { execArgv: ["--conditions=kata-source", "--import", new URL("./tsx-in-worker.mjs", import.meta.url).href] },
});
const logger = pino({ name: "app" }, transport);

for (let i = 0; i < Number(before); i++) logger.info({ i }, "before");
process.stdout.write("logged\n");
if (Number(after) > 0) {
  process.stdin.once("data", () => {
    for (let i = 0; i < Number(after); i++) logger.warn({ i }, "after");
    process.stdout.write("logged\n");
    process.stdin.destroy();
    logger.error("last");
  });
} else {
  logger.error("last");
}
