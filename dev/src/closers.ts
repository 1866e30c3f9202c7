/** What has been started so far, to be ended in the opposite order. */
export interface Closers {
  add(name: string, close: () => Promise<unknown> | undefined): void;
  /** Ends everything, once; what fails is reported and does not keep the rest from ending. */
  close(): Promise<void>;
}

export function createClosers(onError: (name: string, error: unknown) => void): Closers {
  const closers: { name: string; close: () => Promise<unknown> | undefined }[] = [];
  let closing: Promise<void> | undefined;
  const closeAll = async (): Promise<void> => {
    for (let next = closers.pop(); next !== undefined; next = closers.pop()) {
      try {
        await next.close();
      } catch (error) {
        onError(next.name, error);
      }
    }
  };
  return {
    add: (name, close) => void closers.push({ name, close }),
    close() {
      closing ??= closeAll();
      return closing;
    },
  };
}
