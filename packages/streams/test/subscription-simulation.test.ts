import { expect, it } from 'vitest';
import { runSubscriptionHistories } from './subscription-simulation.ts';

const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const COUNT = Number(process.env['HOLDFAST_HISTORIES'] ?? 40);

it(`keeps every promise of subscriptions in ${COUNT} crash histories`, async () => {
  const totals = await runSubscriptionHistories({ seed: SEED, count: COUNT });
  console.log(`subscription simulation: ${JSON.stringify(totals)} from seed ${SEED}`);
  expect(totals.histories).toBe(COUNT);
  if (COUNT >= 40) {
    expect(totals.crashes).toBeGreaterThan(COUNT);
    expect(totals.deliveries).toBeGreaterThan(COUNT * 4);
    expect(totals.claims).toBeGreaterThan(COUNT);
    expect(totals.acks).toBeGreaterThan(COUNT);
    expect(totals.fenced).toBeGreaterThan(COUNT / 4);
    expect(totals.retries).toBeGreaterThan(COUNT / 4);
    expect(totals.deadLetters).toBeGreaterThan(COUNT / 8);
  }
}, 900_000);
