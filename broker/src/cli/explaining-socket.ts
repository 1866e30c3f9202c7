import { WebSocket } from "ws";

/**
 * A WebSocket class that says why its last connection failed. Browsers keep that to themselves, so the SDK does not ask;
 * at a terminal, "ECONNREFUSED" is what one needs to know.
 */
export function createExplainingSocket() {
  let problem: string | undefined;
  class ExplainingSocket extends WebSocket {
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
    WebSocket: ExplainingSocket,
    /** Why the last connection failed, if the host said so. */
    get problem() {
      return problem;
    },
    /** Whether something answered that is no broker: a web server without this path. */
    get misdirected() {
      return /^Unexpected server response: (2|3|400|404|405|410|426)/.test(problem ?? "");
    },
  };
}
