/** Where the processor time of our server goes while it takes appends. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { APPEND_SCENARIOS } from './append-scenarios.ts';
import { BenchTarget } from './bench-target.ts';
import type { Scale } from './scenario.ts';

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export async function profileAppends(
  directory: string,
  scale: Scale,
  source: boolean,
): Promise<{ place: string; share: number }[]> {
  const folder = mkdtempSync(path.join(directory, 'profile-'));
  const target = new BenchTarget({
    name: 'holdfast',
    directory: path.join(folder, 'data'),
    source,
    nodeArgs: ['--cpu-prof', `--cpu-prof-dir=${folder}`],
  });
  try {
    await target.start();
    await APPEND_SCENARIOS[0]?.run(target, scale);
    await target.stop();
    const files = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'));
    const profiles = files.map(
      (name) => JSON.parse(readFileSync(path.join(folder, name), 'utf8')) as CpuProfile,
    );
    // Workers write profiles too; the main thread is the one that served.
    const main = profiles.toSorted((a, b) => b.samples.length - a.samples.length)[0];
    return main === undefined ? [] : sharesOf(main);
  } finally {
    await target.stop('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

function sharesOf(profile: CpuProfile): { place: string; share: number }[] {
  const place = new Map(profile.nodes.map((node) => [node.id, placeOf(node.callFrame)]));
  const spent = new Map<string, number>();
  let busy = 0;
  profile.samples.forEach((id, index) => {
    const where = place.get(id) ?? '?';
    if (where === '(idle)') return;
    const time = profile.timeDeltas[index] ?? 0;
    busy += time;
    spent.set(where, (spent.get(where) ?? 0) + time);
  });
  return [...spent]
    .map(([where, time]) => ({ place: where, share: time / busy }))
    .filter(({ share }) => share >= 0.01)
    .sort((a, b) => b.share - a.share);
}

function placeOf(frame: { functionName: string; url: string }): string {
  const { functionName, url } = frame;
  const own = /packages\/([^/]+)\//.exec(url)?.[1];
  if (own !== undefined) return `holdfast ${own}`;
  if (url.startsWith('node:')) {
    if (/http/.test(url)) return 'node:http';
    if (/net|stream_base|stream/.test(url)) return 'node sockets and streams';
    if (/fs/.test(url)) return 'node:fs';
    if (/timers|async_hooks|process|event/.test(url)) return 'node timers and events';
    return 'node, other';
  }
  if (url.includes('node_modules')) return 'dependencies';
  if (functionName === '(garbage collector)') return 'garbage collector';
  if (functionName === '(idle)') return '(idle)';
  if (functionName === 'writev' || functionName.startsWith('write')) return 'kernel: socket write';
  return 'native code (kernel calls, parsers)';
}
