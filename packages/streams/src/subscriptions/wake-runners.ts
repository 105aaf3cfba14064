/** The runners of all subscriptions. Owned by the engine; begun when it is open. */
import { PullSteps } from './pull-steps.ts';
import type { Subscription } from './subscription.ts';
import type { WakeContext } from './wake-context.ts';
import { WakeRunner } from './wake-runner.ts';
import { WebhookSteps } from './webhook-steps.ts';

interface Running {
  readonly runner: WakeRunner;
  readonly steps: WebhookSteps | PullSteps;
}

export class WakeRunners {
  readonly #context: WakeContext;
  readonly #running = new Map<Subscription, Running>();
  #stopped = false;

  constructor(context: WakeContext) {
    this.#context = context;
  }

  start(subscription: Subscription): void {
    if (this.#stopped) return;
    const steps =
      subscription.config.type === 'webhook'
        ? new WebhookSteps(this.#context, subscription)
        : new PullSteps(this.#context, subscription);
    const runner = new WakeRunner(steps, this.#context);
    this.#running.set(subscription, { runner, steps });
    runner.poke();
  }

  /** Something that holds for all of them changed. */
  pokeAll(): void {
    for (const { runner } of this.#running.values()) runner.poke();
  }

  poke(subscription: Subscription): void {
    this.#running.get(subscription)?.runner.poke();
  }

  /** Another stream took the path of its wake stream, or none. */
  wakeStreamReplaced(subscription: Subscription): void {
    const running = this.#running.get(subscription);
    if (running?.steps instanceof PullSteps) running.steps.wakeStreamReplaced();
    running?.runner.poke();
  }

  stop(subscription: Subscription): void {
    this.#running.get(subscription)?.runner.stop();
    this.#running.delete(subscription);
  }

  stopAll(): void {
    this.#stopped = true;
    for (const { runner } of this.#running.values()) runner.stop();
    this.#running.clear();
  }
}
