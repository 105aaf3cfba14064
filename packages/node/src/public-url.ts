/**
 * How others reach this node: what the settings say, else the URL of a listener on loopback,
 * which at least everybody on this machine can use. Never what a request says of itself: whoever
 * sends it would choose where receivers send their tokens.
 */
import { isLoopbackAddress } from './host-check.ts';
import type { ListenAddress } from './http-listener.ts';

export class PublicUrl {
  #url: string | undefined;

  constructor(configured: string | undefined) {
    this.#url = configured;
  }

  /** Without a slash behind. */
  get current(): string | undefined {
    return this.#url;
  }

  /** A listener was opened. True when only now it is known how to reach the node. */
  listening(address: ListenAddress): boolean {
    if (this.#url !== undefined || !isLoopbackAddress(address.host)) return false;
    this.#url = address.url;
    return true;
  }
}
