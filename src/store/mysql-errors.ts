/** What MySQL, MariaDB and the way to them answer, told to a person. */
import { StoreError, type StoreErrorCode } from './errors.ts';

/** Numbers of the server's errors (MySQL's, MariaDB's and TiDB's own) by what they mean to us. */
const meanings = new Map<number, Meaning>();
type Meaning =
  | 'conflict'
  | 'locked'
  | 'lost'
  | 'crowded'
  | 'denied'
  | 'no-database'
  | 'full'
  | 'read-only'
  | 'taken'
  | 'unfit'
  | 'slow'
  | 'damaged'
  | 'packet';
const numbers: Readonly<Record<Meaning, readonly number[]>> = {
  // Deadlock (also Galera's certification), record changed since last read, TiDB's write conflicts.
  conflict: [1213, 1020, 1637, 8002, 8022, 8028, 9007],
  locked: [1205, 3572, 3058],
  // Shutdown, killed, interrupted, idle for too long, network errors on the server's side, Galera node not ready.
  lost: [1053, 1927, 1317, 1077, 1078, 1079, 1152, 1158, 1159, 1160, 1161, 4031, 1047, 2006, 2013, 3169],
  crowded: [1040, 1203, 1226],
  denied: [1044, 1045, 1130, 1142, 1143, 1227, 1251, 1370, 1698, 1820, 1862, 3118, 4151],
  'no-database': [1049],
  full: [1021, 1114, 3, 28],
  'read-only': [1290, 1792, 1836, 3989, 1223],
  taken: [1062, 1586, 1451, 1452, 1216, 1217],
  unfit: [1406, 1264, 1366, 1265, 1292, 1048],
  slow: [1969, 3024],
  damaged: [1146, 1054, 145, 1194, 1195, 1034, 1712, 1877],
  packet: [1153, 1301],
};
for (const [meaning, list] of Object.entries(numbers)) {
  for (const number of list) meanings.set(number, meaning as Meaning);
}

const lostCodes: ReadonlySet<string> = new Set([
  'PROTOCOL_CONNECTION_LOST',
  'PROTOCOL_SEQUENCE_TIMEOUT',
  'PROTOCOL_PACKETS_OUT_OF_ORDER',
  'POOL_CLOSED',
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
]);

interface DriverError extends Error {
  readonly code?: string;
  readonly errno?: number;
  readonly fatal?: boolean;
}

/**
 * The error as a `StoreError`. Its cause is a copy: the driver's own carries the statement with all its values.
 * Anything that is not an error of the driver passes unchanged.
 */
export function translate(error: unknown, place: string): unknown {
  if (error instanceof StoreError || !(error instanceof Error)) return error;
  const { code = '', errno = 0, fatal = false, message } = error as DriverError;
  const said = `${place}: ${[code, message].filter((part) => part !== '').join(', ')}`;
  const told = (as: StoreErrorCode, what: string, advice: string): StoreError => {
    return new StoreError(as, `${what} (${said}).`, advice, Object.assign(new Error(message), { code, errno }));
  };
  if (code.startsWith('HANDSHAKE_') || /SSL|TLS|certificate/i.test(`${code} ${message}`) || code.startsWith('CERT_')) {
    return told(
      'tls',
      'No TLS connection to the database',
      'Check `store.tls`: the authority that signed the server’s certificate (`ca`), the name in it, and that the server has TLS switched on.',
    );
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return told('unreachable', 'The database’s host is not known', 'Check the host in `store.url`, and the resolver.');
  }
  // "Got error 28 from storage engine": the number of the operating system's error is in the text.
  const full = /error(?:no)?:? (?:28|122)\b|No space left|disk quota/i.test(message);
  const meaning = full ? 'full' : lostCodes.has(code) ? 'lost' : meanings.get(errno);
  switch (meaning) {
    case 'conflict':
      return told(
        'conflict',
        'The database turned a change back in favour of another one',
        'It is tried again by itself; if this stays, look which other programs write to this database.',
      );
    case 'locked':
      return told(
        'locked',
        'Somebody else holds a lock in the database',
        'Try again; if this stays, look at SHOW PROCESSLIST and INNODB_TRX for a transaction that does not end.',
      );
    case 'lost':
      return told(
        'unreachable',
        'The database does not answer',
        'Check that it runs and can be reached from here; the work goes on by itself once it is back.',
      );
    case 'crowded':
      return told(
        'too-many-connections',
        'The database takes no more connections',
        'Raise its max_connections, or lower `store.connections` of each Keyturn.',
      );
    case 'denied':
      return told(
        'access-denied',
        'The database does not let Keyturn do this',
        'Check user and password in `store`, and the grants that docs/store.md lists.',
      );
    case 'no-database':
      return told(
        'cannot-open',
        'There is no such database',
        'Make it: CREATE DATABASE … CHARACTER SET utf8mb4; and grant its user everything in it.',
      );
    case 'full':
      return told(
        'disk-full',
        'The store could not be written: no space is left at the database',
        'Free some space there; nothing was lost, and the work goes on by itself.',
      );
    case 'read-only':
      return told(
        'read-only',
        'The database cannot be written',
        'It is set read-only, or is a replica: point `store.url` at the server that takes writes.',
      );
    case 'taken':
      return told(
        'taken',
        'Two changes added the same, or one rests upon what the other took away',
        'Try again; if this stays, report it.',
      );
    case 'unfit':
      return told('invalid', 'A value does not fit its column', 'Nothing was stored. Use a shorter name or text.');
    case 'slow':
      return told(
        'failed',
        'The database took too long over one statement',
        'Look at its load and its slow log; if the tables have lost their indexes, restore them from a backup.',
      );
    case 'damaged':
      return told(
        'corrupt',
        'A table of the store is damaged or gone',
        'Stop every Keyturn process and restore the last backup of the database.',
      );
    case 'packet':
      return told('failed', 'A statement is larger than the database takes', 'Raise its max_allowed_packet to 16M.');
    default:
      break;
  }
  if (fatal || /closed state|Connection lost|Pool is closed/i.test(message)) {
    return told(
      'unreachable',
      'The connection to the database was lost',
      'Check that it runs and can be reached from here; the work goes on by itself once it is back.',
    );
  }
  if (errno === 0 && code === '') return error;
  return told('failed', 'The database could not do its work', 'Look into its error log; if it is sound, report this.');
}

/** The server's number of an error that was translated; 0 where it has none. */
export function errorNumber(error: unknown): number {
  const cause: unknown = error instanceof StoreError ? error.cause : error;
  return cause instanceof Error && 'errno' in cause ? Number(cause.errno) : 0;
}
