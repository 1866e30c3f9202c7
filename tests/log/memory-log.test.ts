import { describe } from "vitest";
import { describeEventLog } from "./contract.ts";
import { createMemoryRig } from "./memory-rig.ts";

describe("the log in memory", () => {
  describeEventLog(createMemoryRig, { largeBytes: 1_000 });
});
