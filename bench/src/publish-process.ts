import { idle, type Load, type Loaded, load, type Single } from "./publish-load.ts";
import { type PublishSystem, SYSTEMS, type SystemName, type Target } from "./publish-systems.ts";

// A publishing program in a process of its own, so that what it costs can be told from what the servers cost.

export type PublishCommand =
  | { readonly do: "connect"; readonly system: SystemName; readonly target: Target }
  | { readonly do: "load"; readonly load: Load }
  | { readonly do: "idle"; readonly single: Single };

export type PublishAnswer =
  | { readonly error: string }
  | { readonly error?: undefined; readonly loaded?: Loaded; readonly latenciesMs?: readonly number[] };

let system: PublishSystem | undefined;

async function perform(command: PublishCommand): Promise<PublishAnswer> {
  if (command.do === "connect") {
    system = await SYSTEMS[command.system](command.target);
    return {};
  }
  if (system === undefined) throw new Error("connect first");
  if (command.do === "load") return { loaded: await load(system, command.load) };
  return { latenciesMs: await idle(system, command.single) };
}

process.on("message", (command: PublishCommand) => {
  perform(command).then(
    (answer) => process.send?.(answer),
    (error: Error) => process.send?.({ error: error.message }),
  );
});
process.on("disconnect", () => {
  void Promise.resolve(system?.[Symbol.asyncDispose]()).then(() => process.exit(0));
});
