import type { ConnectionChange } from "@kata/realtime-client";
import { expect, it } from "vitest";
import { createOutage } from "./outage.ts";

const connected: ConnectionChange = { status: "connected", previous: "connecting", code: "connected", reason: "" };
const connecting: ConnectionChange = { status: "connecting", previous: "disconnected", code: "connect", reason: "" };
const lost: ConnectionChange = { status: "connecting", previous: "connected", code: "lost", reason: "", retryInMs: 5 };

function told(...changes: ConnectionChange[]): string[] {
  const lines: string[] = [];
  const outage = createOutage("host", (line) => lines.push(line));
  for (const change of changes) outage(change, "why");
  return lines;
}

it("a connection that comes at once is no news", () => {
  expect(told(connecting, connected)).toEqual([]);
});

it("a broker that is not there is told once, and once that it has come", () => {
  expect(told(connecting, lost, connecting, lost, lost, connected)).toEqual([
    "cannot reach a broker at host (why), trying until one answers",
    "connected to host",
  ]);
});

it("each outage is told once when it begins and once when it is over", () => {
  const again = ["lost the connection to host (why), connecting again", "connected to host again"];
  expect(told(connected, lost, lost, connected, lost, connecting, connected)).toEqual([...again, ...again]);
});
