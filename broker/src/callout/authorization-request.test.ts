import { createServer, createUser, type KeyPair } from "@nats-io/jwt";
import { expect, test } from "vitest";
import { readAuthorizationRequest } from "./authorization-request.ts";

const server = createServer();
const user = createUser().getPublicKey();
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

function jwt(
  change: (claims: Record<string, unknown>) => object = (claims) => claims,
  signer: KeyPair = server,
): string {
  const claims = change({
    aud: "nats-authorization-request",
    iss: server.getPublicKey(),
    nats: {
      server_id: { id: server.getPublicKey() },
      user_nkey: user,
      client_info: { host: "10.0.0.1" },
      connect_opts: { auth_token: "token", user: "name", pass: "password" },
    },
  });
  const signed = `${part({ typ: "jwt", alg: "ed25519-nkey" })}.${part(claims)}`;
  return `${signed}.${Buffer.from(signer.sign(Buffer.from(signed))).toString("base64url")}`;
}
const withOptions = (connect_opts: unknown) =>
  jwt((claims) => ({ ...claims, nats: { ...(claims.nats as object), connect_opts } }));

test("says who asks, for whom, and what was presented", () => {
  expect(readAuthorizationRequest(jwt())).toEqual({
    serverId: server.getPublicKey(),
    userKey: user,
    credential: "token",
    address: "10.0.0.1",
  });
});

test.each([
  [{ user: "name", pass: "password" }, "password"],
  [{ auth_token: "", pass: "password" }, "password"],
  [{ user: "name" }, undefined],
  [{ auth_token: 7, pass: {} }, undefined],
  [{ jwt: "a.b.c", nkey: "U", sig: "s" }, undefined],
  [undefined, undefined],
  ["token", undefined],
])("of %j the credential is %j", (options, credential) => {
  expect(readAuthorizationRequest(withOptions(options)).credential).toBe(credential);
});

test.each([
  ["no JWT", "token"],
  ["four parts", `${jwt()}.x`],
  ["no JSON", "a.b.c"],
  ["another audience", jwt((claims) => ({ ...claims, aud: "NATS" }))],
  ["no claims", jwt(() => ({}))],
  ["another issuer than the server", jwt((claims) => ({ ...claims, iss: createServer().getPublicKey() }))],
  ["another's signature", jwt(undefined, createServer())],
  ["a tampered body", jwt().replace(/\.[^.]+\./, `.${jwt((claims) => ({ ...claims, jti: "x" })).split(".")[1]}.`)],
  ["no user", jwt((claims) => ({ ...claims, nats: { server_id: { id: server.getPublicKey() } } }))],
  ["a user that is none", jwt((claims) => ({ ...claims, nats: { ...(claims.nats as object), user_nkey: "U" } }))],
])("%s is refused, and the error holds nothing that was presented", (_, text) => {
  expect(() => readAuthorizationRequest(text)).toThrow(/^it(s signature)? (is|names)/);
});
