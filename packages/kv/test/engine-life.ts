/** An engine over the real database, and short ways to end it and to go on. */
import { type Clock, type FileSystem, type Random, SILENT } from '@holdfast/core';
import { type Database, type DatabaseSettings, openDatabase } from '@holdfast/database';
import { KvEngine, type KvEngineSettings } from '@holdfast/kv';

export interface EngineLifeComponents {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
}

export const SETTINGS: DatabaseSettings = {
  dir: '/data',
  segmentTargetBytes: 256 * 1024,
  preallocateBytes: 16 * 1024,
  diskReserveBytes: 0,
};

export class EngineLife {
  readonly engine: KvEngine;
  readonly database: Database;

  private constructor(engine: KvEngine, database: Database) {
    this.engine = engine;
    this.database = database;
  }

  static async open(
    components: EngineLifeComponents,
    settings: Partial<DatabaseSettings> = {},
    engineSettings: Partial<KvEngineSettings> = {},
  ): Promise<EngineLife> {
    const engine = new KvEngine({ ...components, logger: SILENT }, engineSettings);
    const database = await openDatabase(
      { ...components, logger: SILENT },
      { ...SETTINGS, ...settings },
      [engine],
    );
    return new EngineLife(engine, database);
  }

  async close(): Promise<void> {
    await this.engine.close();
    await this.database.close();
  }
}
