#!/usr/bin/env node
/** The `holdfast` command: the only place that decides how the process ends. */
import { runCommandLine } from './command-line.ts';
import { EXIT } from './exit-codes.ts';
import { NodeConsoleIo } from './node-console-io.ts';

const io = new NodeConsoleIo(() => process.exit(EXIT.interrupted));
process.exitCode = await runCommandLine(process.argv.slice(2), io);
