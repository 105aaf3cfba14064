import { runLogHistories, traceOfLogHistory } from '../packages/log/test/log-simulation.ts';
const t = performance.now();
const [, , seed = '1', count = '200'] = process.argv;
if (count === 'trace') console.log(await traceOfLogHistory(+seed), await traceOfLogHistory(+seed));
else {
  const r = await runLogHistories({ seed: +seed, count: +count });
  console.log(r, (performance.now() - t) | 0, 'ms');
}
