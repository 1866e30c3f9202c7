import { expect, it } from "vitest";
import { isRotation, schemeOf } from "./rotation-scheme.ts";

const LOG = "/var/log/app.log";
const of = (name: string) => schemeOf(LOG, `/var/log/${name}`);

it.each([
  ["a number behind the name", ["app.log.1", "app.log.10", "app.log.1000"]],
  ["a number before the extension", ["app-1.log", "app-12.log"]],
  ["a day", ["app.log-20261125", "app.log-20261126", "app.log-20261126.1"]],
  ["a day with separators", ["app-2026-11-25.log", "app-2026-1-5.log", "app-2026-11-25.2.log"]],
  ["nats-server's", ["app.log.2026.11.25.17.25.20.077602366", "app.log.2026.11.26.01.02.03.100000000"]],
  ["a time", ["app-2026-11-25T10-00-00.000.log", "app-2026-11-26T10-00-00.123.log"]],
])("%s is one scheme, whatever the number", (_, names) => {
  expect(of(names[0] as string)).toBeDefined();
  expect(new Set(names.map(of)).size).toBe(1);
});

it("names that are made in different ways are told apart", () => {
  const names = ["app.log.1", "app.log-1", "app-1.log", "app.1.log", "app.log-20261125", "app-20261125.log"];
  expect(new Set([...names, "app-2026-11-25.log", "app-2026-11-25T10.log"].map(of)).size).toBe(names.length + 2);
});

it("names that no rotated log has are of none", () => {
  expect(["app.log", "app.log1", "app.log.old", "app.log.1.gz", "app-server.log", "application.log"].map(of)).toEqual(
    Array(6).fill(undefined),
  );
});

it("is the log's own way, or with its whole name while that is not known", () => {
  const [number, other] = [of("app.log.1") ?? "", of("app-1.log") ?? ""];
  expect([isRotation(number, undefined), isRotation(other, undefined)]).toEqual([true, false]);
  expect([isRotation(number, other), isRotation(other, other)]).toEqual([false, true]);
});
