import { type CommandId, type ErrorCode, type InboundCommand, InboundCommandSchema } from "@kata/protocol";

/** Why a frame is no command [COMMAND-4]. */
export interface Misunderstood {
  readonly code: ErrorCode;
  readonly message: string;
  /** The id that it carries all the same, so that its sender can tell which one it was. */
  readonly id?: CommandId | undefined;
}

/** Reads a frame as a command. The frame is not kept. */
export function parseCommand(
  frame: ArrayBuffer,
  isBinary: boolean,
  maxBytes: number,
): { readonly command: InboundCommand } | { readonly misunderstood: Misunderstood } {
  if (isBinary) return misunderstood("binary_frame", "commands are JSON in text frames, this frame is binary");
  if (frame.byteLength > maxBytes) {
    return misunderstood("too_large", `a command has at most ${maxBytes} bytes, this one has ${frame.byteLength}`);
  }
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(frame).toString("utf8"));
  } catch {
    return misunderstood("invalid_json", "the frame is not JSON");
  }
  const parsed = InboundCommandSchema.safeParse(json);
  if (parsed.success) return { command: parsed.data };
  return misunderstood("invalid_command", explain(parsed.error.issues[0]), idOf(json));
}

function misunderstood(code: ErrorCode, message: string, id?: CommandId): { readonly misunderstood: Misunderstood } {
  return { misunderstood: { code, message, id } };
}

function explain(issue: { path: readonly PropertyKey[]; message: string } | undefined): string {
  if (issue === undefined) return "not a command";
  const where = issue.path.map(String).join(".");
  return where === "" ? issue.message : `${where}: ${issue.message}`;
}

function idOf(json: unknown): CommandId | undefined {
  if (typeof json !== "object" || json === null || !("id" in json)) return undefined;
  const { id } = json;
  if (typeof id === "string" && id.length > 0 && id.length <= 128) return id;
  return Number.isSafeInteger(id) ? (id as number) : undefined;
}
