#!/usr/bin/env node
import { existsSync } from "node:fs";
import { register } from "node:module";

// A checkout runs from its sources (only it has a tsconfig.json), an installed package from its compiled JavaScript.
const checkout = existsSync(new URL("../tsconfig.json", import.meta.url));

if (!checkout) {
  await import("../dist/cli/main.js");
} else {
  // In this very process: with a second one every signal would have to be passed on, and could be counted twice.
  const { register: registerTypeScript } = await import("tsx/esm/api");
  registerTypeScript();
  // What `--conditions=kata-source` would do; the last hook that is registered is the first that is asked.
  register(
    `data:text/javascript,${encodeURIComponent(`
    export const resolve = (specifier, context, next) =>
      next(specifier, { ...context, conditions: ["kata-source", ...context.conditions] });
  `)}`,
  );
  await import("../src/cli/main.ts");
}
