import { z } from "zod";

/** [COMMAND-2] What a command may carry to recognise its reply by. */
export const CommandIdSchema = z.union([z.string().min(1).max(128), z.int()]);

/** [SUBSCRIBE-5] Where in the past to start without an eventId. */
export const RewindSchema = z.union([
  z.literal("all"),
  z.strictObject({ count: z.int().min(0).max(100_000) }),
  z.strictObject({
    seconds: z
      .number()
      .positive()
      .max(366 * 86_400),
  }),
]);
export type Rewind = z.infer<typeof RewindSchema>;

const id = CommandIdSchema.optional();
const channel = z.string().max(256);

export const SubscribeCommandSchema = z
  .strictObject({
    type: z.literal("subscribe"),
    channel,
    lastEventId: z.string().max(128).optional(),
    rewind: RewindSchema.optional(),
    id,
  })
  .refine((command) => command.lastEventId === undefined || command.rewind === undefined, {
    message: "give lastEventId or rewind, not both",
  });
export const UnsubscribeCommandSchema = z.strictObject({ type: z.literal("unsubscribe"), channel, id });
export const PingCommandSchema = z.strictObject({ type: z.literal("ping"), id });
export const AuthCommandSchema = z.strictObject({ type: z.literal("auth"), token: z.string().min(1).max(16_384), id });

/** Everything a client can say on `/ws`. */
export const InboundCommandSchema = z.discriminatedUnion("type", [
  SubscribeCommandSchema,
  UnsubscribeCommandSchema,
  PingCommandSchema,
  AuthCommandSchema,
]);
export type InboundCommand = z.infer<typeof InboundCommandSchema>;
export type SubscribeCommand = z.infer<typeof SubscribeCommandSchema>;
export type UnsubscribeCommand = z.infer<typeof UnsubscribeCommandSchema>;
export type PingCommand = z.infer<typeof PingCommandSchema>;
export type AuthCommand = z.infer<typeof AuthCommandSchema>;
export type CommandId = z.infer<typeof CommandIdSchema>;
