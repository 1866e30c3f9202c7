import type { TestNats } from "./nats.ts";

export async function startContainerNats(): Promise<TestNats> {
  throw new Error("not yet");
}
