/** All that differs between databases: how to connect, and the few clauses that Kysely leaves to us. */
import type { CreateIndexBuilder, CreateTableBuilder, Dialect, RawBuilder } from 'kysely';
import type { Db } from './tables.ts';

export interface StoreDialect {
  readonly name: 'sqlite' | 'mysql';
  readonly kysely: Dialect;
  /** Where the store is, for messages: a path, or `mysql://user@host:port/database`. Never a password. */
  readonly place: string;
  /** What a table ends with: how names compare, where a database has to be told. */
  table<T extends string, C extends string>(table: CreateTableBuilder<T, C>): CreateTableBuilder<T, C>;
  /** The same with its rows stored in the order of the primary key, where a database does not do so by itself. */
  clustered<T extends string, C extends string>(table: CreateTableBuilder<T, C>): CreateTableBuilder<T, C>;
  /** An index that leaves out rows without a value, where a database has such. */
  sparse<C>(index: CreateIndexBuilder<C>, column: C & string): CreateIndexBuilder<C>;
  readonly types: ColumnTypes;
  /** Takes one step of a migration. Where that is not undone by a crash later on, one that was taken already is no error. */
  step(step: { execute(): Promise<unknown> }): Promise<void>;
  isMissingTable(error: unknown): boolean;
  /** Whether one transaction writes at a time by the database's own rule. Elsewhere, what a change rests upon is locked when it is read. */
  readonly oneWriter: boolean;
  /** Learns what this server can do, once the schema is there. */
  prepare(db: Db): Promise<void>;
  /** Rows chosen for a claim are locked, and rows locked by others are passed over; known once the store is open. */
  skipLocked(): boolean;
  /** How long one waits for a lock of somebody else, or for a database that has gone to come back, in milliseconds. */
  readonly patience: number;
  /** Octets that the store takes. */
  size(db: Db): Promise<number>;
}

export interface ColumnTypes {
  /** Texts of any length that occurs here. */
  readonly text: 'text' | RawBuilder<unknown>;
  /** A primary key of numbers that we give. */
  readonly sequence: 'integer' | 'bigint';
}
