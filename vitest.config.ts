import { defineConfig } from "vitest/config";

// Workspace packages are loaded from their TypeScript sources through the "kata-source" condition of
// their exports, so tests need no build.
const conditions = ["kata-source", "node", "import", "default"];

// What a test waits for: the second that vitest waits by default is not enough for anything on a busy machine.
const PATIENCE_MS = 20_000;

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: ["*/src/**/*.test.ts", "tests/**/*.test.ts"],
    globalSetup: ["tests/support/global-setup.ts"],
    setupFiles: ["tests/support/patience.ts"],
    expect: { poll: { timeout: PATIENCE_MS } },
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
