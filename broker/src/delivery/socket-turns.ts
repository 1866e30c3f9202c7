/**
 * Whose turn it is on a socket that many subscriptions fill. One that has to ask the log finds the socket full when the answer
 * comes: others, which send from memory, were faster. So one of them at a time has the turn, keeps it until it has sent something,
 * and the others leave it room meanwhile.
 */
export class SocketTurns {
  readonly #holders = new WeakMap<object, object>();

  /** Gives `who` the turn unless another has it. */
  offer(socket: object, who: object): void {
    if (!this.#holders.has(socket)) this.#holders.set(socket, who);
  }

  has(socket: object, who: object): boolean {
    return this.#holders.get(socket) === who;
  }

  isAnothers(socket: object, who: object): boolean {
    const holder = this.#holders.get(socket);
    return holder !== undefined && holder !== who;
  }

  /** It has sent something, or will not. */
  pass(socket: object, who: object): void {
    if (this.has(socket, who)) this.#holders.delete(socket);
  }
}
