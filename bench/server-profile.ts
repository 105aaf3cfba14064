/** Where the processor time of our server goes while it serves one scenario. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { BenchTarget } from './bench-target.ts';
import type { Scale, Scenario } from './scenario.ts';

export interface ScenarioProfile {
  /** Share of the busy time of the main thread, by where it was spent. */
  readonly places: readonly Share[];
  /** The functions that took most of it. */
  readonly functions: readonly Share[];
}

export interface Share {
  readonly name: string;
  readonly share: number;
}

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
    };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const FUNCTIONS_SHOWN = 12;
const LEAST_SHARE = 0.01;

export async function profileScenario(
  scenario: Scenario,
  directory: string,
  scale: Scale,
  source: boolean,
): Promise<ScenarioProfile> {
  const folder = mkdtempSync(path.join(directory, 'profile-'));
  const target = new BenchTarget({
    name: 'holdfast',
    directory: path.join(folder, 'data'),
    source,
    nodeArgs: ['--cpu-prof', `--cpu-prof-dir=${folder}`],
  });
  try {
    await target.start();
    await scenario.run(target, scale);
    await target.stop();
    const profiles = readdirSync(folder)
      .filter((name) => name.endsWith('.cpuprofile'))
      .map((name) => JSON.parse(readFileSync(path.join(folder, name), 'utf8')) as CpuProfile);
    // Worker threads write profiles too; the main thread is the one that served.
    const main = profiles.toSorted((a, b) => busyTime(b) - busyTime(a))[0];
    if (main === undefined) throw new Error('the server wrote no profile');
    return {
      places: sharesOf(main, ({ callFrame }) => placeOf(callFrame)),
      functions: sharesOf(main, ({ callFrame }) => {
        const { functionName, url, lineNumber } = callFrame;
        const file = /(?:packages|node:)[^?]*$/.exec(url)?.[0] ?? '';
        const line = lineNumber < 0 ? '' : `:${lineNumber + 1}`;
        return `${functionName === '' ? '(anonymous)' : functionName} ${file}${file && line}`.trim();
      }).slice(0, FUNCTIONS_SHOWN),
    };
  } finally {
    await target.stop('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

function busyTime(profile: CpuProfile): number {
  const idle = new Set(
    profile.nodes.filter((node) => isIdle(node.callFrame.functionName)).map((node) => node.id),
  );
  return profile.samples.reduce(
    (sum, id, index) => sum + (idle.has(id) ? 0 : (profile.timeDeltas[index] ?? 0)),
    0,
  );
}

function isIdle(functionName: string): boolean {
  return functionName === '(idle)';
}

function sharesOf(
  profile: CpuProfile,
  nameOf: (node: CpuProfile['nodes'][number]) => string,
): Share[] {
  const names = new Map(
    profile.nodes
      .filter((node) => !isIdle(node.callFrame.functionName))
      .map((node) => [node.id, nameOf(node)]),
  );
  const spent = new Map<string, number>();
  profile.samples.forEach((id, index) => {
    const name = names.get(id);
    if (name === undefined) return;
    spent.set(name, (spent.get(name) ?? 0) + (profile.timeDeltas[index] ?? 0));
  });
  const busy = busyTime(profile);
  return [...spent]
    .map(([name, time]) => ({ name, share: Number((time / busy).toFixed(4)) }))
    .filter(({ share }) => share >= LEAST_SHARE)
    .sort((a, b) => b.share - a.share);
}

function placeOf(frame: { functionName: string; url: string }): string {
  const { functionName, url } = frame;
  const own = /packages\/([^/]+)\//.exec(url)?.[1];
  if (own !== undefined) return `holdfast ${own}`;
  if (url.startsWith('node:')) {
    if (/http/.test(url)) return 'node:http';
    if (/net|stream/.test(url)) return 'node sockets and streams';
    if (/fs/.test(url)) return 'node:fs';
    return 'node, other';
  }
  if (url.includes('node_modules')) return 'dependencies';
  if (functionName === '(garbage collector)') return 'garbage collector';
  if (/^write|^shutdown/.test(functionName)) return 'socket writes (kernel)';
  if (functionName === '(program)') return 'native code outside of functions (parser, kernel)';
  return 'native functions';
}
