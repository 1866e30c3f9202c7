import type { ConnectionChange } from "@kata/realtime-client";

/**
 * What a person is told of a connection that comes and goes: each outage once when it begins and once when it is over,
 * however many attempts it takes.
 *
 * @param place the broker, as it is named in the lines
 */
export function createOutage(
  place: string,
  tell: (line: string) => void,
): (change: ConnectionChange, why: string) => void {
  let everConnected = false;
  let told = false;
  return ({ status, retryInMs }, why) => {
    if (status === "connected") {
      if (told) tell(everConnected ? `connected to ${place} again` : `connected to ${place}`);
      everConnected = true;
      told = false;
    } else if (status === "connecting" && retryInMs !== undefined && !told) {
      tell(
        everConnected
          ? `lost the connection to ${place} (${why}), connecting again`
          : `cannot reach a broker at ${place} (${why}), trying until one answers`,
      );
      told = true;
    }
  };
}
