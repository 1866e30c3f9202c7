import { spawn } from "node:child_process";

/** Ends a child when this process is gone, however it went: SIGKILL and a crash included. */
export interface Watchdog {
  /** Says which process to watch over, or with its negative which group. Call it in the same tick as the spawn. */
  watch(pid: number): void;
  /** The child has ended by itself: nothing is left to do. */
  release(): void;
}

export interface WatchdogOptions {
  /** What the child gets. */
  readonly signal: "TERM" | "KILL";
  /** Removed with all it holds after the child was ended. */
  readonly removeDirectory?: string | undefined;
}

// Waits for the end of its stdin, which the kernel closes with this process; a line before that is the release.
// The directory is tried again because a dying server may still be writing into it.
const SCRIPT = `read -r pid || exit 0
read -r line && exit 0
kill -"$1" "$pid"
[ -n "$2" ] || exit 0
for attempt in 1 2 3 4 5; do rm -rf "$2" && exit 0; sleep 1; done`;

/** Starts a watchdog, before the child it will watch over; so no moment is left in which the child could be orphaned. */
export function createWatchdog({ signal, removeDirectory = "" }: WatchdogOptions): Watchdog {
  if (process.platform === "win32") return { watch: () => undefined, release: () => undefined };
  // A session of its own: Ctrl-C in the terminal must not end it before us.
  const shell = spawn("/bin/sh", ["-c", SCRIPT, "watchdog", signal, removeDirectory], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  shell.unref();
  shell.on("error", () => undefined);
  shell.stdin.on("error", () => undefined);
  return {
    watch: (pid) => void shell.stdin.write(`${pid}\n`),
    release: () => void shell.stdin.end("\n"),
  };
}
