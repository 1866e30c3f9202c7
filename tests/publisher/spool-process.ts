import { openSpool, type SpoolStore } from "../../publisher-sdk/src/spool-store.ts";

/** A spool in a process of its own, told what to do over IPC; it answers each command when it is done. */
export type SpoolCommand =
  | { readonly do: "open"; readonly directory: string }
  | { readonly do: "add"; readonly messageId: string; readonly lines: string }
  | { readonly do: "remove"; readonly messageId: string }
  | { readonly do: "commit" };

export interface SpoolAnswer {
  readonly bytes: number;
  /** The code and message of a SpoolError. */
  readonly error?: { readonly code: string; readonly message: string };
}

let spool: SpoolStore | undefined;

async function perform(command: SpoolCommand): Promise<void> {
  if (command.do === "open")
    ({ spool } = await openSpool(command.directory, { teamId: "t1", stream: "KATA", via: "nats" as const }));
  else if (command.do === "commit") await spool?.commit();
  else if (command.do === "remove") spool?.remove(command);
  else spool?.add({ messageId: command.messageId, channel: "team:t1", openedAt: 1 }, command.lines);
}

process.on("message", (command: SpoolCommand) => {
  perform(command).then(
    () => process.send?.({ bytes: spool?.bytes ?? 0 } satisfies SpoolAnswer),
    ({ code, message }: { code: string; message: string }) =>
      process.send?.({ bytes: spool?.bytes ?? 0, error: { code, message } } satisfies SpoolAnswer),
  );
});
