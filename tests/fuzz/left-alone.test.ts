import { expect, it } from "vitest";
import { startBroker } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { Connection } from "./http-fuzzer.ts";

/** uWebSockets.js closes what is silent after some ten seconds; a busy machine needs longer. */
const CLOSED_MS = 25_000;

it("[HTTP-2] a connection is closed that says nothing more, however its request was answered", {
  timeout: 60_000,
}, async () => {
  await using nats = await startNats();
  await using broker = await startBroker({ nats, keptInNats: true });
  const good = `X-API-Key: ${broker.apiKey}\r\n`;
  const requests = [
    "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    `GET /v1/keys HTTP/1.1\r\nHost: x\r\n${good}\r\n`,
    "GET /v1/keys HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /v1/channels/team:demo/events HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /v1/channels/team:demo/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    `POST /v1/channels/team:demo/events HTTP/1.1\r\nHost: x\r\n${good}Content-Length: 1\r\n\r\n{`,
    "DELETE /v1/keys/x HTTP/1.1\r\nHost: x\r\n\r\n",
  ];
  const connections = requests.map((request) => {
    const connection = new Connection(broker.port);
    connection.answers.asked("GET");
    connection.socket.write(request);
    return connection;
  });
  try {
    for (const connection of connections) await connection.until(() => connection.answers.answers.length > 0);
    await expect
      .poll(() => requests.filter((_, i) => connections[i]?.ended !== true), { timeout: CLOSED_MS, interval: 100 })
      .toEqual([]);
  } finally {
    for (const { socket } of connections) socket.destroy();
  }
});
