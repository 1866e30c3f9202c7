import type { DeliveryRig } from "./delivery-rig.ts";
import type { ModelClient } from "./model-client.ts";
import type { Schedule } from "./model-steps.ts";

/** How many published bytes may lie between two looks at the readers' buffers, see delivery/sweep.ts. */
const SWEEP_BYTES = 256 * 1024;

/** What holds more than it may [DESIGN §4, 4]. `largest` is what the largest record weighs as envelopes. */
export function faultsOfBounds(
  { delivery }: DeliveryRig,
  limits: Schedule["limits"],
  clients: readonly ModelClient[],
  largest: number,
): string[] {
  const { ringBytes, heldBytes, pageCacheBytes, readsInFlight } = delivery.usage;
  const rings = clients.flatMap(({ subscriptions }) =>
    subscriptions.map(({ subscription }) => subscription.channel.ring.bytes),
  );
  const sockets = clients.map(({ socket }) => socket?.unsentEvents ?? 0);
  const bounds: readonly (readonly [what: string, is: number, most: number])[] = [
    ["all rings hold", ringBytes, limits.ringTotalBytes],
    ["a ring holds", Math.max(0, ...rings), limits.ringBytes],
    ["held records weigh", heldBytes, limits.heldBytes],
    ["remembered pages weigh", pageCacheBytes, limits.pageCacheBytes],
    ["reads under way are", readsInFlight, limits.readsInFlight],
    ["a socket holds events of", Math.max(0, ...sockets), limits.highWaterBytes + SWEEP_BYTES + largest],
  ];
  return bounds.flatMap(([what, is, most]) => (is > most ? [`${what} ${is}, at most ${most} are allowed`] : []));
}
