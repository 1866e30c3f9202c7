import { createPublisher } from "@kata/publisher";
import { captureConsole } from "../../publisher-sdk/src/capture.ts";

/** An application whose console is captured for a publisher that takes nothing: it prints as if nothing were. */
const [servers = "", teamId = ""] = process.argv.slice(2);

const publisher = await createPublisher({ servers, teamId });
await publisher.close();
const capture = captureConsole(publisher, "agent:app");
for (let i = 0; i < 1_000; i++) console.log("line %d", i);
console.error("broken");
const { events, lost } = await capture.restore();
console.log(`${events} ${lost}`);
