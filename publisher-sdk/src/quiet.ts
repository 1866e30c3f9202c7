import { AsyncLocalStorage } from "node:async_hooks";

const quiet = new AsyncLocalStorage<true>();

/**
 * Runs it so that what it prints, then or later, is printed and not captured: for code that is called because something was
 * published, such as a report of an error, which would otherwise be published, and reported, and published.
 */
export function withoutCapture<T>(run: () => T): T {
  return quiet.run(true, run);
}

export function isQuiet(): boolean {
  return quiet.getStore() === true;
}
