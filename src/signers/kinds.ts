/** Every kind of signer that `signers:` in `keyturn.yaml` may name. The built-in milter has a section of its own. */
import { agentKind } from './agent.ts';
import type { SignerKind } from './kind.ts';
import { mailcowApiKind } from './mailcow-api/kind.ts';
import { rspamdVault } from './rspamd-vault/kind.ts';

export const signerKinds: readonly SignerKind[] = [agentKind, mailcowApiKind, rspamdVault];
