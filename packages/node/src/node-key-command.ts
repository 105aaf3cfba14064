/**
 * Keys from a program, for those who keep them in a vault or a key service: what it prints on its
 * standard output is what a key file would hold.
 *
 * Invariants
 * 1. Neither its output nor the command is in an error: of a failure only how it ended is told.
 * 2. It ends: with its output, at `keyCommandTimeoutMs`, or by force.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { HoldfastError, LIMITS, systemErrorCode } from '@holdfast/core';

/**
 * Runs `command` in a shell. The caller wipes what it gets.
 * @throws `KEY_COMMAND_FAILED`, `INVALID_KEY` when it prints too much.
 */
export function runKeyCommand(
  command: string,
  timeoutMs: number = LIMITS.keyCommandTimeoutMs,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = start(command);
    const pieces: Buffer[] = [];
    let bytes = 0;
    let refusal: HoldfastError | undefined;
    const end = (error: HoldfastError): void => {
      refusal ??= error;
      child.stdout?.destroy();
      killGroup(child.pid);
      if (child.pid === undefined) settle(null, null); // it never was: nothing else will be heard
    };
    const timer = setTimeout(() => end(failed(`it took longer than ${timeoutMs} ms`)), timeoutMs);
    child.stdout?.on('data', (piece: Buffer) => {
      bytes += piece.length;
      pieces.push(piece);
      if (bytes > LIMITS.maxKeyTextBytes) end(tooLong());
    });
    const settle = (code: number | null, signal: NodeJS.Signals | null): void => {
      clearTimeout(timer);
      const output = Buffer.concat(pieces);
      for (const piece of pieces) piece.fill(0);
      if (refusal === undefined && code !== 0) refusal = failed(`it ended with ${signal ?? code}`);
      if (refusal === undefined) resolve(output);
      else {
        output.fill(0);
        reject(refusal);
      }
    };
    child.once('error', (error) => end(notStarted(error)));
    child.once('close', settle);
  });
}

function start(command: string): ChildProcess {
  try {
    // Its standard error is the operator's to see: programs for vaults say there what they lack.
    return spawn(command, {
      shell: true,
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true, // a group of its own, so that what it started ends with it
    });
  } catch (error) {
    throw notStarted(error);
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

/** What the system says of it names the command. I1 */
function notStarted(error: unknown): HoldfastError {
  return failed(`it could not be started reason=${systemErrorCode(error) ?? 'unknown'}`);
}

function failed(reason: string): HoldfastError {
  return new HoldfastError('KEY_COMMAND_FAILED', `the key command gave no key: ${reason}`);
}

function tooLong(): HoldfastError {
  const message = `the key command printed more than ${LIMITS.maxKeyTextBytes} bytes`;
  return new HoldfastError('INVALID_KEY', message);
}
