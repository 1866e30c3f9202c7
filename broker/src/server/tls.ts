import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { type BrokerConfig, ConfigError } from "../config.ts";
import type { NatsTls } from "../log/connect.ts";

/** PEM files of a certificate, with those that lead to its authority behind it, and of its private key. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

type TlsSettings = Pick<BrokerConfig, "tlsCertFile" | "tlsKeyFile" | "natsCaFile" | "natsCertFile" | "natsKeyFile">;

/** With what the broker serves TLS, and with what it asks NATS for it; `undefined` where nothing is set. */
export interface Tls {
  readonly server: TlsFiles | undefined;
  readonly nats: NatsTls | undefined;
}

/**
 * Looks at the files before anything is started with them: what OpenSSL says later names no setting.
 *
 * @throws ConfigError if a file cannot be read, is not what it should be, or certificate and key do not belong together
 */
export function checkTls(config: TlsSettings): Tls {
  const server = checkPair(config.tlsCertFile, config.tlsKeyFile, "KATA_TLS_CERT_FILE", "KATA_TLS_KEY_FILE");
  const own = checkPair(config.natsCertFile, config.natsKeyFile, "KATA_NATS_CERT_FILE", "KATA_NATS_KEY_FILE");
  const caFile = config.natsCaFile;
  if (caFile !== undefined) read("KATA_NATS_CA_FILE", caFile, "a certificate", toCertificate);
  return { server, nats: caFile === undefined && own === undefined ? undefined : { caFile, ...own } };
}

function checkPair(
  certFile: string | undefined,
  keyFile: string | undefined,
  cert: string,
  key: string,
): TlsFiles | undefined {
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile === undefined) throw new ConfigError(`${key} is set and ${cert} is not: set both, or neither`);
  if (keyFile === undefined) throw new ConfigError(`${cert} is set and ${key} is not: set both, or neither`);
  const certificate = read(cert, certFile, "a certificate", toCertificate);
  const privateKey = read(key, keyFile, "a private key without a passphrase", (text) => createPrivateKey(text));
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new ConfigError(`${key} is not the key of the certificate in ${cert}: name two that belong together`);
  }
  return { certFile, keyFile };
}

function toCertificate(text: Buffer): X509Certificate {
  return new X509Certificate(text);
}

function read<T>(setting: string, file: string, what: string, parse: (text: Buffer) => T): T {
  let text: Buffer;
  try {
    text = readFileSync(file);
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? "unknown";
    throw new ConfigError(`${setting} cannot be read (${why}): name a PEM file with ${what}`);
  }
  try {
    return parse(text);
  } catch {
    throw new ConfigError(`${setting} does not hold ${what}: name a PEM file that does`);
  }
}
