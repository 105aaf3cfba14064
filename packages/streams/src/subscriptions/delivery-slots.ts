/**
 * How many deliveries run at once, in all and to one host. Whoever waits longest for a host gets
 * its next slot, and hosts take turns: one receiver that is slow or dead, with any number of
 * subscriptions, holds up only its own.
 */
interface Waiter {
  readonly grant: (release: () => void) => void;
}

class Host {
  readonly name: string;
  active = 0;
  readonly waiting = new Set<Waiter>();

  constructor(name: string) {
    this.name = name;
  }
}

export class DeliverySlots {
  readonly #max: number;
  readonly #maxPerHost: number;
  readonly #hosts = new Map<string, Host>();
  /** Hosts that wait and may have one more, in the order of their turns. */
  readonly #ready = new Set<Host>();
  #active = 0;

  constructor(settings: {
    readonly maxWebhookDeliveries: number;
    readonly maxWebhookDeliveriesPerHost: number;
  }) {
    this.#max = settings.maxWebhookDeliveries;
    this.#maxPerHost = settings.maxWebhookDeliveriesPerHost;
  }

  /** Deliveries under way. */
  get active(): number {
    return this.#active;
  }

  /** Resolves to what gives the slot back; rejects with the signal's reason. */
  acquire(name: string, signal: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      let host = this.#hosts.get(name);
      if (host === undefined) {
        host = new Host(name);
        this.#hosts.set(name, host);
      }
      const onAbort = (): void => {
        host.waiting.delete(waiter);
        this.#update(host);
        reject(signal.reason as Error);
      };
      const waiter: Waiter = {
        grant: (release) => {
          signal.removeEventListener('abort', onAbort);
          resolve(release);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      host.waiting.add(waiter);
      this.#update(host);
      this.#grantAll();
    });
  }

  #grantAll(): void {
    for (const host of this.#ready) {
      if (this.#active >= this.#max) return;
      const [waiter] = host.waiting;
      this.#ready.delete(host); // its next turn is behind the others'
      if (waiter === undefined) continue;
      host.waiting.delete(waiter);
      host.active++;
      this.#active++;
      this.#update(host);
      let released = false;
      waiter.grant(() => {
        if (released) return;
        released = true;
        this.#release(host);
      });
    }
  }

  #release(host: Host): void {
    host.active--;
    this.#active--;
    this.#update(host);
    this.#grantAll();
  }

  #update(host: Host): void {
    if (host.waiting.size > 0 && host.active < this.#maxPerHost) this.#ready.add(host);
    else this.#ready.delete(host);
    if (host.active === 0 && host.waiting.size === 0) this.#hosts.delete(host.name);
  }
}
