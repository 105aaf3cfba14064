#!/usr/bin/env node
/** The `holdfast` command: the only place that decides how the process ends. */
import { runCommandLine } from './command-line.ts';
import { NodeConsoleIo } from './node-console-io.ts';

const INTERRUPTED = 130;

const io = new NodeConsoleIo(() => process.exit(INTERRUPTED));
process.exitCode = await runCommandLine(process.argv.slice(2), io);
