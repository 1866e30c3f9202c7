export { PublisherError, type PublisherErrorCode, type Stored } from "./errors.ts";
export type { EventInput } from "./event.ts";
export type { PublisherOptions } from "./options.ts";
export { createPublisher, type Publisher } from "./publisher.ts";
export type { PublishResult } from "./record.ts";
