import type { WebSocketConstructor } from "@kata/realtime-client";
import { WebSocket } from "ws";

export interface ExplainingSocket {
  readonly WebSocket: WebSocketConstructor;
  /** Why the last connection failed, if the host said so. */
  readonly problem: string | undefined;
  /** Whether something answered that is no broker: a web server without this path. */
  readonly misdirected: boolean;
}

/**
 * A WebSocket class that says why its last connection failed. Browsers keep that to themselves, so the SDK does not ask;
 * at a terminal, "ECONNREFUSED" is what one needs to know.
 */
export function createExplainingSocket(): ExplainingSocket {
  let problem: string | undefined;
  class Explaining extends WebSocket {
    constructor(url: string, protocols?: string[]) {
      super(url, protocols);
      problem = undefined;
      this.once("error", (error: NodeJS.ErrnoException) => {
        // Where a name has several addresses, the error of all of them has a code and no message.
        problem = error.message || error.code;
      });
    }
  }
  return {
    WebSocket: Explaining,
    get problem() {
      return problem;
    },
    get misdirected() {
      return /^Unexpected server response: (2|3|400|404|405|410|426)/.test(problem ?? "");
    },
  };
}
