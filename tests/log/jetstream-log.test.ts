import { STREAM } from "@kata/protocol/wire";
import { jetstreamManager } from "@nats-io/jetstream";
import { describe, expect, it } from "vitest";
import { LogUnavailableError } from "../../broker/src/log/event-log.ts";
import { ensureStream } from "../../broker/src/log/stream.ts";
import { describeEventLog, eventually, SUBJECT } from "./contract.ts";
import { QUESTIONS } from "./contract-connection.ts";
import { createJetStreamRig } from "./jetstream-rig.ts";

describe("the log over JetStream", () => {
  describeEventLog(createJetStreamRig, {
    largeBytes: 900_000,
  });

  describe("a log that is away in other ways", () => {
    const WITH_ANSWER = QUESTIONS.filter(([name]) => name !== "live");

    it.each(WITH_ANSWER)("%s() rejects while there is no stream, and answers when there is one", async (_name, ask) => {
      await using rig = await createJetStreamRig();
      await rig.store(SUBJECT);
      const { streams } = await jetstreamManager(rig.outside);
      await streams.delete(STREAM);
      await expect(ask(rig.log)).rejects.toBeInstanceOf(LogUnavailableError);
      await ensureStream(rig.outside);
      await ask(rig.log);
    });

    it.each(WITH_ANSWER)("%s() rejects when no answer comes in time", async (_name, ask) => {
      await using rig = await createJetStreamRig({ timeoutMs: 200 });
      rig.silence();
      await expect(ask(rig.log)).rejects.toBeInstanceOf(LogUnavailableError);
      expect(rig.log.connected).toBe(true);
    });

    it.each(QUESTIONS)("%s() rejects when the connection was closed", async (_name, ask) => {
      await using rig = await createJetStreamRig();
      await rig.nc.close();
      await expect(ask(rig.log)).rejects.toBeInstanceOf(LogUnavailableError);
    });
  });

  it("a stream made anew is told without being asked for", async () => {
    await using rig = await createJetStreamRig();
    const { epoch } = rig.log;
    const told: unknown[] = [];
    rig.log.listen((event) => told.push(event, rig.log.epoch === epoch));
    await rig.recreate();
    await eventually(() => told).toEqual(["recreated", false]);
  });
});
