// Run in a process of its own: takes away everything that a bare JavaScript host has not, then uses the package.
// TextEncoder is there because @kata/protocol/wire wants it when it is loaded.
const LANGUAGE = new Set(
  (
    "Object Function Array Number parseFloat parseInt Infinity NaN undefined Boolean String Symbol Date Promise RegExp " +
    "Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError globalThis JSON Math Intl " +
    "ArrayBuffer Atomics Uint8Array Int8Array Uint16Array Int16Array Uint32Array Int32Array Float32Array Float64Array " +
    "Uint8ClampedArray BigUint64Array BigInt64Array DataView Map BigInt Set WeakMap WeakSet WeakRef Proxy Reflect " +
    "FinalizationRegistry decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape eval isFinite isNaN " +
    "setTimeout clearTimeout TextEncoder"
  ).split(" "),
);
const say = console.log;

for (const name of Object.getOwnPropertyNames(globalThis)) {
  if (!LANGUAGE.has(name)) Reflect.deleteProperty(globalThis, name);
}
const { createRealtimeClient } = await import("../index.ts");
class Silent {
  protocol = "";
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;
  send() {}
  close() {}
}
Object.assign(globalThis, { WebSocket: Silent });
const client = createRealtimeClient({ url: "wss://broker.test", apiKey: "k" });
client.subscribe("team:t1", () => {});
void client.connect();
say(
  client.status,
  Object.getOwnPropertyNames(globalThis)
    .filter((name) => !LANGUAGE.has(name))
    .join(),
);
// Nothing is left that keeps the process alive, whether a socket or a token was waited for.
client.close();
say(client.status);
const asking = createRealtimeClient({ url: "wss://broker.test", getToken: () => new Promise(() => {}) });
void asking.connect();
say(asking.status);
asking.close();
