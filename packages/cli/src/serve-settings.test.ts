import { SETTING_KINDS } from '@holdfast/node';
import { describe, expect, it } from 'vitest';
import { FakeConsole } from '../test/fake-console.ts';
import { withClaimTokens } from './claim-tokens-file.ts';
import { FlagValues } from './command.ts';
import { serve } from './serve.ts';
import { flagName, serveSettings, variableName } from './serve-settings.ts';

function settingsOf(
  given: Record<string, string | boolean>,
  env: Record<string, string> = {},
  dir?: string,
) {
  const io = new FakeConsole();
  Object.assign(io.env, env);
  return serveSettings({
    io,
    arguments: dir === undefined ? [] : [dir],
    values: new FlagValues(given, serve.flags, io.env),
    json: false,
  });
}

describe('serveSettings', () => {
  it('has a flag of the right kind, and a variable, for every setting of a node', () => {
    for (const [key, kind] of Object.entries(SETTING_KINDS)) {
      if (key === 'dir') continue;
      const flag = serve.flags[flagName(key)];
      expect([key, flag?.type]).toEqual([key, kind === 'flag' ? 'boolean' : 'string']);
      expect(flag?.env).toBe(variableName(key));
    }
  });

  it('takes the flag before the environment', () => {
    const env = { HOLDFAST_PORT: '1', HOLDFAST_HOST: 'localhost', HOLDFAST_MEMORY: 'true' };
    expect(settingsOf({ port: '2' }, env)).toEqual({ port: 2, host: 'localhost', memory: true });
  });

  it('takes what came to nothing for a mistake where a key is asked for, and a flag given', () => {
    expect(() => settingsOf({ 'key-file': '' })).toThrow('--key-file is empty');
    expect(() => settingsOf({ 'key-command': '' })).toThrow('--key-command is empty');
    expect(() => settingsOf({}, { HOLDFAST_KEY: '' })).toThrow('HOLDFAST_KEY is empty');
    expect(settingsOf({}, { HOLDFAST_PORT: '' })).toEqual({ dir: './data' });
  });

  it('keeps data in ./data, HOLDFAST_DIR or DIR, in rising order', () => {
    expect(settingsOf({})).toEqual({ dir: './data' });
    expect(settingsOf({}, { HOLDFAST_DIR: '/a' })).toEqual({ dir: '/a' });
    expect(settingsOf({}, { HOLDFAST_DIR: '/a', HOLDFAST_MEMORY: '1' }, '/b')).toEqual({
      dir: '/b',
      memory: false,
    });
    expect(settingsOf({ memory: true }, { HOLDFAST_DIR: '/a' })).toEqual({ memory: true });
  });

  it('adds the tokens of a file to the others', async () => {
    const io = new FakeConsole();
    io.env['HOLDFAST_CLAIM_TOKENS_FILE'] = '/run/claims';
    io.files.set('/run/claims', 'first-of-the-file\r\nsecond-of-the-file\n');
    const values = new FlagValues({}, serve.flags, io.env);
    const call = { io, arguments: [], values, json: false };
    expect(await withClaimTokens(call, { claimTokens: ['given'] })).toEqual({
      claimTokens: ['given', 'first-of-the-file', 'second-of-the-file'],
    });
    io.files.set('/run/claims', '\n');
    await expect(withClaimTokens(call, {})).rejects.toThrow('holds no token');
    io.files.clear();
    await expect(withClaimTokens(call, {})).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('splits lists and refuses what is no number, naming where it came from', () => {
    expect(settingsOf({ 'allowed-hosts': 'a, b' })).toMatchObject({ allowedHosts: ['a', 'b'] });
    expect(() => settingsOf({ port: 'x' })).toThrow('--port must be a whole number');
    expect(() => settingsOf({}, { HOLDFAST_PORT: 'x' })).toThrow('HOLDFAST_PORT must be');
    expect(() => settingsOf({}, { HOLDFAST_MEMORY: 'si' })).toThrow('HOLDFAST_MEMORY must be');
    expect(() => settingsOf({ memory: true }, {}, '/b')).toThrow('exclude each other');
  });
});
