import { describe } from "vitest";
import { createSharedLog } from "../../broker/src/log/shared-log.ts";
import { describeEventLog } from "./contract.ts";
import { createMemoryRig } from "./memory-rig.ts";

describe("a log that many ask at once", () => {
  describeEventLog(
    async () => {
      const rig = await createMemoryRig();
      return Object.assign(rig, { log: createSharedLog(rig.log, { readsInFlight: 2 }) });
    },
    { largeBytes: 1_000 },
  );
});
