/** The routes of tiered stores; the others stand in `admin-routes.ts`. */
import { HoldfastError } from '@holdfast/core';
import type { AdminRoute } from './admin-route.ts';

const DIRECTIONS = ['by-version', 'primary-wins', 'backup-wins'] as const;
type Direction = (typeof DIRECTIONS)[number];

export const TIER_ROUTES: readonly AdminRoute[] = [
  {
    method: 'GET',
    path: ['tiers'],
    run: async ({ administration }) => ({ stores: administration.tiers.list() }),
  },
  {
    method: 'GET',
    path: ['tiers', '*'],
    run: async ({ administration, id }) => administration.tiers.status(id),
  },
  {
    method: 'POST',
    path: ['tiers', '*', 'drain'],
    long: true,
    run: ({ administration, id, signal }) => administration.tiers.drain(id, { signal }),
  },
  {
    method: 'POST',
    path: ['tiers', '*', 'verify'],
    body: { prefix: 'text', rate: 'count' },
    long: true,
    run: ({ administration, id, body, signal, onProgress }) =>
      administration.tiers.verify(id, {
        ...{ prefix: body.text('prefix'), rate: body.count('rate') },
        ...{ signal, onProgress },
      }),
  },
  {
    method: 'POST',
    path: ['tiers', '*', 'repair'],
    body: { prefix: 'text', rate: 'count', direction: 'text', dryRun: 'flag' },
    long: true,
    run: ({ administration, id, body, signal, onProgress }) =>
      administration.tiers.repair(id, {
        ...{ prefix: body.text('prefix'), rate: body.count('rate') },
        ...{ direction: directionOf(body.text('direction')), dryRun: body.flag('dryRun') },
        ...{ signal, onProgress },
      }),
  },
  {
    method: 'POST',
    path: ['tiers', '*', 'restore'],
    body: { overwrite: 'flag' },
    long: true,
    run: ({ administration, id, body, signal, onProgress }) =>
      administration.tiers.restore(id, { overwrite: body.flag('overwrite'), signal, onProgress }),
  },
  {
    method: 'POST',
    path: ['tiers', '*', 'promote'],
    body: { force: 'flag' },
    long: true,
    run: ({ administration, id, body, signal, onProgress }) =>
      administration.tiers.promote(id, { force: body.flag('force'), signal, onProgress }),
  },
  {
    method: 'POST',
    path: ['tiers', '*', 'migrate'],
    body: { to: 'text' },
    long: true,
    run: ({ administration, id, body, signal, onProgress }) =>
      administration.tiers.migrate(id, body.text('to') ?? '', { signal, onProgress }),
  },
  {
    method: 'POST',
    path: ['tiers', '*', 'take-over'],
    long: true,
    run: ({ administration, id, signal, onProgress }) =>
      administration.tiers.takeOver(id, { signal, onProgress }),
  },
  {
    method: 'POST',
    path: ['tiers', '*', 'rewrap'],
    long: true,
    run: ({ administration, id, signal, onProgress }) =>
      administration.tiers.rewrap(id, { signal, onProgress }),
  },
  {
    method: 'POST',
    path: ['tiers', '*', 'export'],
    body: { since: 'count' },
    lines: ({ administration, id, body, signal }) =>
      administration.tiers.export(id, { since: body.count('since'), signal }),
  },
  {
    method: 'POST',
    path: ['tiers', '*', 'import'],
    long: true,
    takes: 'export',
    run: ({ administration, id, bytes, signal, onProgress }) =>
      administration.tiers.import(id, bytes, { overwrite: false, signal, onProgress }),
  },
  {
    method: 'POST',
    path: ['tiers', '*', 'import', 'overwrite'],
    long: true,
    takes: 'export',
    run: ({ administration, id, bytes, signal, onProgress }) =>
      administration.tiers.import(id, bytes, { overwrite: true, signal, onProgress }),
  },
];

function directionOf(text: string | undefined): Direction | undefined {
  if (text === undefined) return undefined;
  const direction = DIRECTIONS.find((one) => one === text);
  if (direction !== undefined) return direction;
  throw new HoldfastError('INVALID_JSON', `the direction must be one of ${DIRECTIONS.join(', ')}`);
}
