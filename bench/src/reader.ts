import { createRealtimeClient } from "@kata/realtime-client";
import { WebSocket } from "ws";

// A subscriber in a process of its own: what its application is handed must be the whole sequence, in order.

const [url, apiKey, channel] = process.argv.slice(2) as [string, string, string];
const client = createRealtimeClient({ url, apiKey, WebSocket });
let expected = Number.NaN;
let next = 0;

client.on("subscription", ({ status }) => {
  if (status === "caught_up") process.send?.({ ready: true });
});
client.subscribe(channel, (event) => {
  const { fields } = event.payload as { fields: { i: number } };
  if (fields.i !== next) {
    process.send?.({ wrong: `event ${fields.i} came where ${next} was due` });
    process.exit(1);
  }
  next++;
  if (next === expected) process.send?.({ done: next });
});
client.connect().catch((error: Error) => {
  process.send?.({ wrong: error.message });
  process.exit(1);
});
process.on("message", (message: { expect: number }) => {
  expected = message.expect;
  if (next === expected) process.send?.({ done: next });
});
process.on("disconnect", () => process.exit(0));
