/** All that differs between databases: how to connect, and the few clauses that Kysely leaves to us. */
import type { CreateIndexBuilder, CreateTableBuilder, Dialect } from 'kysely';

export interface StoreDialect {
  readonly name: 'sqlite' | 'mysql';
  readonly kysely: Dialect;
  /** Rows stored in the order of the primary key, where a database does not do so by itself. */
  clustered<T extends string, C extends string>(table: CreateTableBuilder<T, C>): CreateTableBuilder<T, C>;
  /** An index that leaves out rows without a value, where a database has such. */
  sparse<C>(index: CreateIndexBuilder<C>, column: C & string): CreateIndexBuilder<C>;
  /** Rows chosen for a claim are locked, and rows locked by others are passed over. */
  readonly skipLocked: boolean;
}
