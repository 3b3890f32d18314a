/** The built-in milter in a process of its own: `node ours.ts KEYRING SOCKET`. */
import { runMilter } from '../../src/signers/milter/run.ts';

const [keyring = '', socket = ''] = process.argv.slice(2);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
await runMilter({ keyring, listen: [`unix:${socket}`], stop: stop.signal });
