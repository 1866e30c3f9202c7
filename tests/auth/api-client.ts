export interface ApiAnswer {
  readonly status: number;
  /** `undefined` where there is none, or none that is JSON. */
  readonly body: unknown;
  readonly text: string;
}

/** The HTTP API as a key sees it. */
export function createApiClient(httpUrl: string, apiKey: string) {
  async function send(method: string, path: string, body: string | undefined): Promise<ApiAnswer> {
    const response = await fetch(httpUrl + path, { method, headers: { "x-api-key": apiKey }, body: body ?? null });
    const text = await response.text();
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return { status: response.status, body: json, text };
  }
  return {
    send,
    get: (path: string) => send("GET", path, undefined),
    post: (path: string, body: unknown) => send("POST", path, JSON.stringify(body)),
    put: (path: string) => send("PUT", path, undefined),
    delete: (path: string) => send("DELETE", path, undefined),
  };
}
