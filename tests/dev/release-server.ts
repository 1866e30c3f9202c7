import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { RELEASE_VERSION, releaseName } from "../../dev/src/nats/release.ts";

/** What goes wrong. */
export type Fault = "none" | "checksum" | "unlisted" | "missing" | "truncated" | "silent";

export interface ReleaseServer extends AsyncDisposable {
  readonly url: string;
  /** Paths that were asked for, in order. */
  readonly requests: readonly string[];
}

/** Writes a program that says of itself what nats-server would. */
export async function writeFakeServer(path: string, version = RELEASE_VERSION): Promise<void> {
  await writeFile(path, `#!/bin/sh\necho "nats-server: v${version}"\n`);
  await chmod(path, 0o755);
}

/** Stands in for the page of nats-server's releases: redirects to the files as the real one does. `directory` is scratch space. */
export async function startReleaseServer(directory: string, fault: Fault = "none"): Promise<ReleaseServer> {
  const archive = `${releaseName()}.tar.gz`;
  const content = await createArchive(directory, archive);
  const sum = createHash("sha256")
    .update(fault === "checksum" ? "another file" : content)
    .digest("hex");
  const sums = `${"0".repeat(64)}  another.zip\n${fault === "unlisted" ? "" : `${sum}  ${archive}\n`}`;
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    requests.push(path);
    if (path === `/v${RELEASE_VERSION}/SHA256SUMS`) return respond(response, sums);
    if (path === `/v${RELEASE_VERSION}/${archive}`) return response.writeHead(302, { location: "/blob" }).end();
    if (path === "/blob") return respond(response, content);
    return response.writeHead(404).end();
  });

  function respond(response: ServerResponse, body: string | Buffer): void {
    if (fault === "silent") return;
    if (fault === "missing") return void response.writeHead(404).end("not here");
    response.writeHead(200, { "content-length": Buffer.byteLength(body) });
    if (fault === "truncated" && typeof body !== "string") {
      response.write(body.subarray(0, body.length / 2), () => response.destroy());
    } else {
      response.end(body);
    }
  }

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

async function createArchive(directory: string, archive: string): Promise<Buffer> {
  const place = join(directory, "release", releaseName());
  await mkdir(place, { recursive: true });
  await writeFakeServer(join(place, "nats-server"));
  await writeFile(join(place, "README.md"), "# NATS\n");
  await promisify(execFile)("tar", ["-czf", archive, releaseName()], { cwd: join(directory, "release") });
  return readFile(join(directory, "release", archive));
}
