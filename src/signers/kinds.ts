/** Every kind of signer that `signers:` in `keyturn.yaml` may name. The built-in milter has a section of its own. */
import { agentKind } from './agent.ts';
import { execKind } from './exec/kind.ts';
import { eximKind } from './exim/kind.ts';
import { filesKind } from './files/kind.ts';
import type { SignerKind } from './kind.ts';
import { mailcowApiKind } from './mailcow-api/kind.ts';
import { mailcowRedis } from './mailcow-redis.ts';
import { opendkimKind } from './opendkim/kind.ts';
import { rspamdFiles } from './rspamd-files.ts';
import { rspamdRedis } from './rspamd-redis/kind.ts';
import { rspamdVault } from './rspamd-vault/kind.ts';
import { sesKind } from './ses/kind.ts';
import { webhookKind } from './webhook/kind.ts';

export const signerKinds: readonly SignerKind[] = [
  agentKind,
  execKind,
  eximKind,
  filesKind,
  mailcowApiKind,
  mailcowRedis,
  opendkimKind,
  rspamdFiles,
  rspamdRedis,
  rspamdVault,
  sesKind,
  webhookKind,
];
