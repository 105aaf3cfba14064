/** Where the node's own control routes are for those who call them from elsewhere. */
import { RESERVED_SEGMENT } from '../../subscriptions/path-pattern.ts';

/** `undefined` while nobody knows how this node is reached. Never from what a request says. */
export interface ControlEndpoints {
  callbackUrl(id: string): string | undefined;
  jwksUrl(): string | undefined;
}

/** @param publicUrl what clients put before the base path, without a slash behind */
export function controlEndpoints(
  basePath: string,
  publicUrl: () => string | undefined,
): ControlEndpoints {
  const at = (path: string): string | undefined => {
    const base = publicUrl();
    return base === undefined ? undefined : `${base}${basePath}${RESERVED_SEGMENT}/${path}`;
  };
  return {
    callbackUrl: (id) => at(`subscriptions/${encodeURIComponent(id)}/callback`),
    jwksUrl: () => at('jwks.json'),
  };
}
