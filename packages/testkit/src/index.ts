export * from './crash-harness.ts';
export * from './file-system-conformance.ts';
export * from './seeded-random.ts';
export * from './sim-clock.ts';
export * from './sim-disk.ts';
export * from './sim-faults.ts';
export * from './sim-fs.ts';
export * from './trace-hash.ts';
