import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, test, vi } from "vitest";
import { connectTo } from "./connection.ts";

/** Speaks as much NATS as a client needs to connect; `admits` decides by what the client presents. */
async function startGate(admits: (auth: Record<string, unknown>) => boolean, refusesAfterMs = 0) {
  const presented: unknown[] = [];
  const sockets = new Set<import("node:net").Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    socket.write('INFO {"server_id":"x","version":"2.15.1","proto":1,"max_payload":1048576,"headers":true}\r\n');
    socket.on("data", (chunk) => {
      const connect = /CONNECT (\{.*\})/.exec(chunk.toString());
      if (connect?.[1] !== undefined) {
        const auth = JSON.parse(connect[1]) as Record<string, unknown>;
        presented.push(auth.auth_token ?? auth.user ?? null);
        if (!admits(auth)) {
          setTimeout(() => socket.end("-ERR 'Authorization Violation'\r\n"), refusesAfterMs);
          return;
        }
      }
      if (chunk.includes("PING")) socket.write("PONG\r\n");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    presented,
    cut: () => {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

const to = { apiKey: "good", inboxPrefix: undefined, timeoutMs: 2_000 };

test("the API key is presented as a token, again after a reconnect", async () => {
  await using gate = await startGate((auth) => auth.auth_token === "good");
  const nc = await connectTo({ ...to, servers: gate.url });
  gate.cut();
  await vi.waitFor(() => expect(gate.presented).toEqual(["good", "good"]));
  await nc.close();
});

test("a refused key is unauthenticated, in one line without the key", async () => {
  await using gate = await startGate((auth) => auth.auth_token === "good");
  const failed = connectTo({ ...to, apiKey: "bad", servers: gate.url });
  await expect(failed).rejects.toMatchObject({ code: "unauthenticated", retryable: false });
  await expect(failed).rejects.toThrow(`NATS at ${gate.url} refused the credentials`);
});

test("a key that nobody has refused at once was refused by no broker: that is unavailable, and may be tried again", async () => {
  await using gate = await startGate(() => false, 2_600);
  const failed = connectTo({ ...to, timeoutMs: 5_000, servers: gate.url });
  await expect(failed).rejects.toMatchObject({ code: "unavailable", retryable: true });
  await expect(failed).rejects.toThrow(`no broker has answered NATS at ${gate.url}`);
});

test("tls:// is insisted on: to a server without it nothing is presented", async () => {
  await using gate = await startGate(() => true);
  const failed = connectTo({ ...to, servers: `tls://${gate.url}` });
  await expect(failed).rejects.toMatchObject({ code: "unavailable" });
  await expect(connectTo({ ...to, tls: {}, servers: gate.url })).rejects.toMatchObject({ code: "unavailable" });
  expect(gate.presented).toEqual([]);
});

test("credentials in a URL are presented where there is no key", async () => {
  await using gate = await startGate((auth) => auth.user === "u@1" && auth.pass === "p:2");
  const nc = await connectTo({ ...to, apiKey: undefined, servers: `nats://u%401:p%3A2@${gate.url}` });
  expect(gate.presented).toEqual(["u@1"]);
  await nc.close();
});
