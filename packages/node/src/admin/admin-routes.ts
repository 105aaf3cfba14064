/**
 * The routes of administration under `/v1/admin/`: what each takes, and what of the node it asks.
 * Rules live behind `AdminHost`; docs/CLI.md, "Admin routes", has the shapes.
 */
import type { BodyShape } from './admin-body.ts';
import type { AdminRoute } from './admin-route.ts';
import { TIER_ROUTES } from './tier-routes.ts';

const RETENTION: BodyShape = {
  keepLast: 'count',
  keepDaily: 'count',
  keepWeekly: 'count',
  keepMaxAgeMs: 'count',
};

export const ADMIN_ROUTES: readonly AdminRoute[] = [
  {
    method: 'GET',
    path: ['backup'],
    run: async ({ administration }) => administration.backup(),
  },
  {
    method: 'GET',
    path: ['snapshots'],
    run: ({ administration, signal }) => administration.snapshots.list({ signal }),
  },
  {
    method: 'POST',
    path: ['snapshots'],
    body: { full: 'flag' },
    long: true,
    run: ({ administration, body, signal, onProgress }) =>
      administration.snapshots.create({ full: body.flag('full'), signal, onProgress }),
  },
  {
    method: 'POST',
    path: ['snapshots', 'prune'],
    body: { ...RETENTION, dryRun: 'flag' },
    long: true,
    run: ({ administration, body, signal }) =>
      administration.snapshots.prune({
        keepLast: body.count('keepLast'),
        keepDaily: body.count('keepDaily'),
        keepWeekly: body.count('keepWeekly'),
        keepMaxAgeMs: body.count('keepMaxAgeMs'),
        dryRun: body.flag('dryRun'),
        signal,
      }),
  },
  {
    method: 'GET',
    path: ['snapshots', '*'],
    run: ({ administration, id, signal }) => administration.snapshots.info(id, { signal }),
  },
  {
    method: 'DELETE',
    path: ['snapshots', '*'],
    run: async ({ administration, id, signal }) => {
      await administration.snapshots.delete(id, { signal });
      return { id, deleted: true };
    },
  },
  {
    method: 'POST',
    path: ['snapshots', '*', 'verify'],
    long: true,
    run: ({ administration, id, signal, onProgress }) =>
      administration.snapshots.verify(id, { signal, onProgress }),
  },
  {
    method: 'POST',
    path: ['drill'],
    long: true,
    run: ({ administration, signal, onProgress }) =>
      administration.snapshots.drill({ signal, onProgress }),
  },
  {
    method: 'POST',
    path: ['marks'],
    body: { name: 'text' },
    status: 201,
    run: async ({ administration, body }) => {
      const name = body.text('name') ?? '';
      return { name, lsn: await administration.mark(name) };
    },
  },
  {
    method: 'GET',
    path: ['keys'],
    run: ({ administration }) => administration.keys.status(),
  },
  {
    method: 'POST',
    path: ['keys', 'rotate'],
    long: true,
    run: ({ administration }) => administration.keys.rotate(),
  },
  {
    method: 'DELETE',
    path: ['keys', '*'],
    run: async ({ administration, id }) => {
      await administration.keys.retire(id);
      return { id, retired: true };
    },
  },
  ...TIER_ROUTES,
];
