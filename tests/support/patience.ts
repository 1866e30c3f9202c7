import { vi } from "vitest";

/** A busy machine can take longer for anything than the second after which vi.waitFor gives up; a test has 30 of them. */
const TIMEOUT_MS = 20_000;

const { waitFor } = vi;

vi.waitFor = (check, options) =>
  waitFor(check, typeof options === "number" ? options : { timeout: TIMEOUT_MS, ...options });
