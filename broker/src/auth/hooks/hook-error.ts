import type { FetchFailure } from "../bounded-fetch.ts";

/** The application's hook did not give a usable answer: an outage. The message holds nothing of question or answer. */
export class HookError extends Error {
  readonly code: FetchFailure | "hook_status" | "hook_answer" | "hook_busy";
  constructor(code: HookError["code"], message: string) {
    super(`the auth hook ${message}`);
    this.name = "HookError";
    this.code = code;
  }
}
