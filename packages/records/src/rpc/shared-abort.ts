/** Ends many calls at once: Node.js takes more than ten listeners of one signal for a leak. */
import { setMaxListeners } from 'node:events';

export function sharedAbort(): AbortController {
  const abort = new AbortController();
  setMaxListeners(0, abort.signal);
  return abort;
}
