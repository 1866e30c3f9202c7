import type { ApiKeyAuth, ChannelAccess } from "./adapters.ts";

/** Keys that either of two knows; the first is asked first. */
export function eitherKeys(first: ApiKeyAuth, second: ApiKeyAuth): ApiKeyAuth {
  return {
    verifyKey: async (key) => (await first.verifyKey(key)) ?? (await second.verifyKey(key)),
    onRevoked(listener) {
      const ends = [first.onRevoked?.(listener), second.onRevoked?.(listener)];
      return () => {
        for (const end of ends) end?.();
      };
    },
  };
}

/** What the first does not know the second is asked for. */
export function eitherAccess(first: ChannelAccess, second: ChannelAccess): ChannelAccess {
  return {
    resolveSpecTeamId: async (id) => (await first.resolveSpecTeamId(id)) ?? (await second.resolveSpecTeamId(id)),
    resolveAgentTeamId: async (id) => (await first.resolveAgentTeamId(id)) ?? (await second.resolveAgentTeamId(id)),
    onOwnerChanged(listener) {
      const ends = [first.onOwnerChanged?.(listener), second.onOwnerChanged?.(listener)];
      return () => {
        for (const end of ends) end?.();
      };
    },
  };
}
