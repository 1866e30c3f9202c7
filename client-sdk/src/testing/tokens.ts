/** One call of `getToken` that a test answers when it likes. Nothing lies between the answer and what follows, no microtask either. */
export interface TokenCall {
  returns(token: unknown): void;
  throws(cause: unknown): void;
}

export interface Tokens {
  readonly getToken: () => Promise<string>;
  /** Every call, in order. */
  readonly calls: readonly TokenCall[];
  /** The newest. */
  readonly call: TokenCall;
  /** Those that are not answered, in order. */
  readonly pending: readonly TokenCall[];
}

/** A `getToken` that answers nothing by itself. */
export function createTokens(): Tokens {
  const calls: TokenCall[] = [];
  let pending: TokenCall[] = [];
  return {
    calls,
    get call() {
      const newest = calls.at(-1);
      if (newest === undefined) throw new Error("getToken was not called");
      return newest;
    },
    get pending() {
      return pending;
    },
    getToken() {
      let answer: { readonly token: unknown } | { readonly cause: unknown } | undefined;
      let told: ((how: NonNullable<typeof answer>) => void) | undefined;
      const settle = (how: NonNullable<typeof answer>): void => {
        if (answer !== undefined) throw new Error("this call was answered already");
        pending = pending.filter((one) => one !== call);
        answer = how;
        told?.(how);
      };
      const call: TokenCall = { returns: (token) => settle({ token }), throws: (cause) => settle({ cause }) };
      calls.push(call);
      pending.push(call);
      return {
        // biome-ignore lint/suspicious/noThenProperty: as hosts do that bring a Promise of their own
        then(returned: (token: unknown) => void, failed: (cause: unknown) => void) {
          told = (how) => ("token" in how ? returned(how.token) : failed(how.cause));
          if (answer !== undefined) told(answer);
        },
      } as unknown as Promise<string>;
    },
  };
}
