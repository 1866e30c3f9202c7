import { idle, type Load, type Loaded, load } from "./publish-load.ts";
import { type PublishSystem, SYSTEMS, type SystemName, type Target } from "./publish-systems.ts";

// A publishing program in a process of its own, so that what it costs can be told from what the servers cost.

export type PublishCommand =
  | { readonly do: "connect"; readonly systems: readonly SystemName[]; readonly target: Target }
  /** With the first system. */
  | { readonly do: "load"; readonly load: Load }
  | { readonly do: "idle"; readonly channel: string; readonly rounds: number };

export type PublishAnswer =
  | { readonly error: string }
  | { readonly error?: undefined; readonly loaded?: Loaded; readonly latenciesMs?: readonly (readonly number[])[] };

let systems: PublishSystem[] = [];

async function perform(command: PublishCommand): Promise<PublishAnswer> {
  switch (command.do) {
    case "connect":
      systems = await Promise.all(command.systems.map((name) => SYSTEMS[name](command.target)));
      return {};
    case "load":
      if (systems[0] === undefined) throw new Error("connect first");
      return { loaded: await load(systems[0], command.load) };
    case "idle":
      return { latenciesMs: await idle(systems, command.channel, command.rounds) };
  }
}

process.on("message", (command: PublishCommand) => {
  perform(command).then(
    (answer) => process.send?.(answer),
    (error: Error) => process.send?.({ error: error.message }),
  );
});
process.on("disconnect", () => {
  void Promise.all(systems.map((system) => system[Symbol.asyncDispose]())).then(() => process.exit(0));
});
