/** Event types whose payloads this protocol defines. */
export const EVENT_TYPES = [
  "agent_status_changed",
  "log_entry",
  "spec_updated",
  "task_completed",
  "blocker_raised",
  "stream_ended",
] as const;
export type KnownEventType = (typeof EVENT_TYPES)[number];

/** [EVENT-6] Reasons of `stream_ended` that everybody understands; an application may have others. */
export const END_REASONS = ["completed", "failed", "cancelled"] as const;
export type EndReason = (typeof END_REASONS)[number] | (string & {});

/** Types the broker itself says; no event can have one of them. */
export const CONTROL_TYPES = [
  "subscribed",
  "caught_up",
  "unsubscribed",
  "error",
  "pong",
  "authenticated",
  "reconnect",
] as const;
export type ControlType = (typeof CONTROL_TYPES)[number];

/** [EVENT-2] What a type looks like, the application's own included; at most 128 characters. */
export const TYPE_PATTERN = /^[a-z][a-z0-9_.]{0,127}$/;

const control: ReadonlySet<string> = new Set(CONTROL_TYPES);

export function isControlType(type: unknown): type is ControlType {
  return typeof type === "string" && control.has(type);
}

/** Whether an event may have this type: `[a-z][a-z0-9_.]*`, at most 128 characters, not a control type. */
export function isEventType(type: unknown): type is string {
  return typeof type === "string" && !control.has(type) && TYPE_PATTERN.test(type);
}
