import { type Development, LOG_CHANNEL } from "./development.ts";

/** What a start says at its end: where everything is, and what to try. */
export function welcome({ httpUrl, wsUrl, natsUrl, apiKey, teamId, dataDirectory, devFile }: Development): string {
  return `
Kata Realtime is running.

  HTTP       ${httpUrl}
  WebSocket  ${wsUrl}
  NATS       ${natsUrl.replaceAll(/\/\/[^@/,]*@/g, "//")}
  API key    ${apiKey}  (team ${teamId})
  Data       ${dataDirectory}  (URLs and key also in ${devFile})

Try next, in another terminal:

  npx kata tail ${LOG_CHANNEL} --rewind 20

  curl ${httpUrl}/v1/channels/agent:build/events -H 'X-API-Key: ${apiKey}' \\
    -d '{"type":"log_entry","payload":{"message":"hello"}}'

Ctrl-C stops everything.
`;
}
