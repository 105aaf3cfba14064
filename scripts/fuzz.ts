/**
 * `npm run fuzz`: every parser over damaged inputs, for longer than `npm test` has time.
 *
 *   npm run fuzz -- --minutes 10
 *   npm run fuzz -- --only manifest --seed 17 --cases 1
 */
import { parseArgs } from 'node:util';
import { fuzz, type FuzzTarget } from '@holdfast/testkit';
import { FUZZ_TARGETS as CLI } from '../packages/cli/test/fuzz-targets.ts';
import { FUZZ_TARGETS as CORE } from '../packages/testkit/test/fuzz-targets.ts';
import { FUZZ_TARGETS as DATABASE } from '../packages/database/test/fuzz-targets.ts';
import { FUZZ_TARGETS as KV } from '../packages/kv/test/fuzz-targets.ts';
import { FUZZ_TARGETS as LOG } from '../packages/log/test/fuzz-targets.ts';
import { FUZZ_TARGETS as NODE } from '../packages/node/test/fuzz-targets.ts';
import { FUZZ_TARGETS as OBJECTS } from '../packages/objects/test/fuzz-targets.ts';
import { FUZZ_TARGETS as RECORDS } from '../packages/records/test/fuzz-targets.ts';
import { FUZZ_TARGETS as STREAMS } from '../packages/streams/test/fuzz-targets.ts';
import { FUZZ_TARGETS as TABLES } from '../packages/tables/test/fuzz-targets.ts';

const TARGETS: readonly FuzzTarget[] = [
  ...CORE,
  ...LOG,
  ...TABLES,
  ...DATABASE,
  ...OBJECTS,
  ...STREAMS,
  ...KV,
  ...RECORDS,
  ...NODE,
  ...CLI,
];
/** Cases of one target between two looks at the clock. */
const CHUNK = 500;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    only: { type: 'string' },
    seed: { type: 'string' },
    cases: { type: 'string' },
  },
});
const targets = TARGETS.filter(({ name }) => values.only === undefined || name === values.only);
if (targets.length === 0) {
  console.error(
    `no such parser: ${values.only}; there are ${TARGETS.map((t) => t.name).join(', ')}`,
  );
  process.exit(2);
}
// An embedded node keeps no process alive: what waits for its timers would be the end.
setInterval(() => undefined, 1_000);
// A hunt begins where no other one began; what it finds, it names.
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : whole('seed', values.seed);
if (values.cases === undefined) await hunt(whole('minutes', values.minutes) * 60_000);
else
  for (const target of targets)
    tell(target.name, await fuzz(target, { seed, count: whole('cases', values.cases) }));

process.exit(0);

async function hunt(forMs: number): Promise<void> {
  const end = performance.now() + forMs;
  console.log(`fuzzing ${targets.length} parsers from seed ${seed}`);
  let done = 0;
  for (let next = seed; performance.now() < end; next += CHUNK) {
    for (const target of targets) {
      if (performance.now() >= end) break;
      const count = Math.ceil(CHUNK / (target.cost ?? 1));
      await fuzz(target, { seed: next, count });
      done += count;
    }
  }
  console.log(`fuzzed inputs: ${done}, no parser broke`);
}

function tell(
  name: string,
  {
    cases,
    accepted,
    refused,
  }: { cases: number; accepted: number; refused: ReadonlyMap<string, number> },
): void {
  const codes = [...refused].map(([code, count]) => `${code} ${count}`).join(', ');
  console.log(`${name}: ${cases} inputs, ${accepted} accepted${codes === '' ? '' : `, ${codes}`}`);
}

function whole(name: string, text: string): number {
  if (/^(0|[1-9]\d{0,9})$/.test(text)) return Number(text);
  console.error(`--${name} must be a whole number`);
  process.exit(2);
}
