import { execFile, spawnSync } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

/** The openssl program makes the certificates: every system has it that builds Node.js modules. Tests that need it skip without it. */
export const noOpenSsl = spawnSync("openssl", ["version"]).error !== undefined;

export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
}

/** Makes a certificate for this machine (localhost, 127.0.0.1) that is its own authority, in `directory`. */
export async function createCertificate(directory: string): Promise<Certificate> {
  const certFile = join(directory, "cert.pem");
  const keyFile = join(directory, "key.pem");
  await promisify(execFile)("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
    ...["-keyout", keyFile, "-out", certFile],
  ]);
  return { certFile, keyFile };
}
