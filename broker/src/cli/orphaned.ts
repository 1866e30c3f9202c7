const POLL_MS = 200;

/**
 * Calls `gone` when npx, which runs us below a shell, has been told to end: a SIGTERM for npx ends that shell and goes no
 * further. That the parent has changed is all there is to see of it.
 */
export function onOrphaned(gone: () => void): void {
  if (process.env.npm_lifecycle_event !== "npx") return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    gone();
  }, POLL_MS);
  timer.unref();
}
