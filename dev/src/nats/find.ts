import { messageOf } from "../message.ts";
import { fetchDebianPackage } from "./apt.ts";
import { addToCache, cacheDirectory, findCached } from "./cache.ts";
import { findOnPath } from "./on-path.ts";
import { probeVersion } from "./probe.ts";
import { fetchRelease, RELEASE_BASE_URL } from "./release.ts";
import { MINIMUM_VERSION } from "./version.ts";

export interface NatsBinary {
  readonly path: string;
  readonly version: string;
  /** Where it comes from, in words. */
  readonly source: string;
}

export interface FindOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Told one line about each source that failed, about each download before it begins, and about what was chosen. */
  readonly report: (line: string) => void;
  /** Where releases are downloaded; `KATA_NATS_RELEASE_URL`, else the project's own page. */
  readonly releaseBaseUrl?: string;
  /** Fetches the distribution's package; private apt if not said. */
  readonly fetchPackage?: (directory: string) => Promise<string>;
}

/** No source had a nats-server, or the one that was asked for is of no use. Its message is one line: what, and what to do. */
export class NatsServerNotFound extends Error {
  override readonly name = "NatsServerNotFound";
  readonly code = "NATS_SERVER_NOT_FOUND";
}

/**
 * Finds a nats-server to run, or fetches one into the cache: `NATS_SERVER_BIN`, the PATH, the cache, the project's release,
 * the distribution's package, in this order. `NATS_SERVER_BIN` is a wish, not a hint: if it cannot be met that is an error.
 */
export async function findNatsServer(options: FindOptions): Promise<NatsBinary> {
  const { env, report } = options;
  const explicit = env.NATS_SERVER_BIN;
  if (explicit !== undefined && explicit !== "") {
    try {
      return { path: explicit, version: await probeVersion(explicit), source: "NATS_SERVER_BIN" };
    } catch (error) {
      throw new NatsServerNotFound(`NATS_SERVER_BIN cannot be used: ${messageOf(error)}. Correct it or unset it.`);
    }
  }
  const cache = cacheDirectory(env);
  const sources: ReadonlyArray<{ name: string; find: () => Promise<Omit<NatsBinary, "source"> | undefined> }> = [
    { name: "the PATH", find: () => probeOnPath(env) },
    { name: "the cache", find: () => findCached(cache) },
    {
      name: "the release",
      find: () => {
        const baseUrl = options.releaseBaseUrl ?? (env.KATA_NATS_RELEASE_URL || RELEASE_BASE_URL);
        report(`nats-server: fetching a release into ${cache} …`);
        return addToCache(cache, (directory) => fetchRelease(directory, baseUrl));
      },
    },
    {
      name: "the distribution's package",
      find: () => {
        report(`nats-server: fetching the distribution's package into ${cache} …`);
        return addToCache(cache, options.fetchPackage ?? fetchDebianPackage);
      },
    },
  ];
  for (const { name, find } of sources) {
    try {
      const found = await find();
      if (found === undefined) continue;
      report(`nats-server: ${found.version} from ${name} (${found.path})`);
      return { ...found, source: name };
    } catch (error) {
      report(`nats-server: not from ${name}: ${messageOf(error)}`);
    }
  }
  throw new NatsServerNotFound(
    `No nats-server ${MINIMUM_VERSION} or newer was found or could be fetched (reasons above). Install one on the PATH, set NATS_SERVER_BIN to it, or set NATS_URL to a running server.`,
  );
}

async function probeOnPath(env: NodeJS.ProcessEnv): Promise<Omit<NatsBinary, "source"> | undefined> {
  const path = await findOnPath("nats-server", env);
  return path === undefined ? undefined : { path, version: await probeVersion(path) };
}
