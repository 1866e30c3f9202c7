import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface TempDirectory extends AsyncDisposable {
  readonly path: string;
}

// A test that times out is not disposed, and its process may be killed: what then removes the directory waits for the end of its
// stdin. It tries again because a child of the test may still be writing.
const AFTERWARDS = 'read -r line || for attempt in 1 2 3 4 5; do rm -rf "$1" && exit; sleep 1; done';

/** A directory of a test's own, removed with all it holds at dispose, or when the test's process has ended. */
export async function createTempDirectory(): Promise<TempDirectory> {
  const path = await mkdtemp(join(tmpdir(), "kata-test-"));
  const afterwards = spawn("/bin/sh", ["-c", AFTERWARDS, "remove", path], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  afterwards.unref();
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
      afterwards.stdin.end("\n");
    },
  };
}
