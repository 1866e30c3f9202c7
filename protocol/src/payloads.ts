import { z } from "zod";

// Objects are loose: an application may add fields of its own, and they are delivered as they were published.

/** How an agent is doing. */
export const AgentStatusChangedSchema = z.looseObject({
  agentId: z.string().min(1),
  status: z.string().min(1),
  previousStatus: z.string().optional(),
  reason: z.string().optional(),
});

/** One line of a log. */
export const LogEntrySchema = z.looseObject({
  message: z.string(),
  level: z.enum(["trace", "debug", "info", "warn", "error", "fatal"]).optional(),
  /** What wrote it: a file, a component, a logger's name. */
  source: z.string().optional(),
  fields: z.record(z.string(), z.unknown()).optional(),
});

/** A spec has a new version. */
export const SpecUpdatedSchema = z.looseObject({
  specId: z.string().min(1),
  version: z.union([z.string(), z.number()]).optional(),
  summary: z.string().optional(),
});

/** A task came to its end. */
export const TaskCompletedSchema = z.looseObject({
  taskId: z.string().min(1),
  result: z.string().optional(),
  summary: z.string().optional(),
});

/** Somebody cannot go on. */
export const BlockerRaisedSchema = z.looseObject({
  taskId: z.string().optional(),
  reason: z.string().min(1),
  severity: z.string().optional(),
});

/** [EVENT-6] A stream is over: a log that is finished, an agent that has run. */
export const StreamEndedSchema = z.looseObject({
  /** Why: a word of {@link END_REASONS} or one of the application's own. */
  reason: z.string().min(1),
});

/** The payload schema of every event type that this protocol defines. */
export const PayloadSchemas = {
  agent_status_changed: AgentStatusChangedSchema,
  log_entry: LogEntrySchema,
  spec_updated: SpecUpdatedSchema,
  task_completed: TaskCompletedSchema,
  blocker_raised: BlockerRaisedSchema,
  stream_ended: StreamEndedSchema,
} as const;

/** Payload types by event type. */
export interface EventPayloads {
  agent_status_changed: z.infer<typeof AgentStatusChangedSchema>;
  log_entry: z.infer<typeof LogEntrySchema>;
  spec_updated: z.infer<typeof SpecUpdatedSchema>;
  task_completed: z.infer<typeof TaskCompletedSchema>;
  blocker_raised: z.infer<typeof BlockerRaisedSchema>;
  stream_ended: z.infer<typeof StreamEndedSchema>;
}
