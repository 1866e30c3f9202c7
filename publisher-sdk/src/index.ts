export type { AnyEvents, EndReason, EventMap, EventPayloads } from "@kata/protocol/wire";
export {
  type CaptureConsoleOptions,
  type CaptureErrorListener,
  type CaptureOptions,
  type CaptureResult,
  type ConsoleCapture,
  captureConsole,
  captureStream,
  createWritable,
  withoutCapture,
} from "./capture.ts";
export { PublisherError, type PublisherErrorCode, QueueFullError, type Stored } from "./errors.ts";
export type { CurrentTraceparent, EventInput, EventMeta } from "./event.ts";
export {
  agentStatusChanged,
  blockerRaised,
  type CreateEvent,
  type EventInputOf,
  logEntry,
  specUpdated,
  streamEnded,
  taskCompleted,
} from "./events.ts";
export type { PublisherOptions } from "./options.ts";
export type { PublishOutcome, PublishResult } from "./outcome.ts";
export type {
  Attempt,
  PipeOptions,
  PipeResult,
  PublisherStats,
  PublishManyOptions,
  PublishOptions,
  RecordReport,
} from "./publish-options.ts";
export { type ChannelEvent, createPublisher, type LogPublisher, type Publisher } from "./publisher.ts";
