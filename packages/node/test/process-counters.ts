/** What the kernel counted for a process: for tests that bound work and memory, not time. */
import { existsSync, readFileSync } from 'node:fs';

/** Linux only; suites that need these counters skip elsewhere and say so. */
export const hasProcessCounters: boolean = existsSync('/proc/self/io');

/** Bytes the process read by system calls: page cache and sockets included. */
export function bytesRead(pid: number): number {
  return counter(`/proc/${pid}/io`, 'rchar');
}

/** Bytes the process handed to files (sockets do not count) and took not back. */
export function bytesWritten(pid: number): number {
  return counter(`/proc/${pid}/io`, 'write_bytes');
}

export function residentBytes(pid: number): number {
  return counter(`/proc/${pid}/status`, 'VmRSS') * 1024;
}

function counter(file: string, name: string): number {
  const line = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(file, 'utf8'));
  if (line === null) throw new Error(`${file} has no ${name}`);
  return Number(line[1]);
}
