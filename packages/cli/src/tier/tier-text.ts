/** Tiered stores as people read them. */
import type { MovedOutcome, TieredStoreStatus } from '@holdfast/node';
import { factLines } from '../snapshot/snapshot-text.ts';

/** One store by tabs: name, state, what is owed, its places. */
export function tierRow(status: TieredStoreStatus): string {
  const places = Object.entries(status.tiers).map(([part, tier]) => `${part}:${tier.state}`);
  const owed = status.owed === undefined ? '-' : String(status.owed.operations);
  const state = status.fenced ? 'fenced' : status.state;
  return `${[status.name, state, owed, ...places].join('\t')}\n`;
}

export function tierFacts(status: TieredStoreStatus): string {
  const { name, state, fenced, epoch, owed, operation, problem, tiers, settings } = status;
  const progress = operation?.progress;
  const doing =
    operation === undefined
      ? undefined
      : [operation.kind, progress?.phase, progress?.done].filter((one) => one !== undefined);
  return (
    factLines({
      ...{ name, state: fenced ? `${state}, fenced` : state, epoch },
      owed: owed && `${owed.operations} operations, ${owed.bytes} bytes`,
      operation: doing?.join(' '),
      ...{ problem: problem?.code, message: problem?.message, advice: problem?.advice },
    }) +
    Object.entries(tiers)
      .map(([part, tier]) => {
        const lacks = tier.behind ? ', behind' : '';
        const error = tier.error === undefined ? '' : `, ${tier.error.code}: ${tier.error.message}`;
        return factLines({
          [part]: `${tier.state}${lacks}, owed ${tier.owedOperations}, ${tier.place}${error}`,
        });
      })
      .join('') +
    (settings === undefined ? '' : settingsText(settings))
  );
}

/** What has to be changed before the next start. */
export function settingsText(lines: MovedOutcome['settings']): string {
  const said = lines.map(({ setting, value }) =>
    value === undefined
      ? `  remove ${setting}\n`
      : `  set ${setting} to ${JSON.stringify(value)}\n`,
  );
  return `before the next start, in the file of --tiers:\n${said.join('')}`;
}
