/** The table of commands. A command's file is loaded only when the command is run, completed or explained. */
import type { Command } from 'commander';
import type { CommandContext } from './context.ts';

export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<(context: CommandContext) => Command>;
}

export const commands: readonly CommandEntry[] = [
  {
    name: 'serve',
    summary: 'Run the server: reconciler, signing milter and DNS',
    load: async () => (await import('./serve.ts')).serveCommand,
  },
  {
    name: 'demo',
    summary: 'Watch rotations happen under live mail, on this machine, in a minute',
    load: async () => (await import('./demo.ts')).demoCommand,
  },
  {
    name: 'domain',
    summary: 'Add, list, show, import and remove domains',
    load: async () => (await import('./domain.ts')).domainCommand,
  },
  {
    name: 'key',
    summary: 'List, show, rotate, use, keep, copy, roll back keys; declare one compromised',
    load: async () => (await import('./key.ts')).keyCommand,
  },
  {
    name: 'import',
    summary: "Take over an installation as it stands, such as mailcow's",
    load: async () => (await import('./import.ts')).importCommand,
  },
  {
    name: 'plan',
    summary: "Draw a domain's dated future",
    load: async () => (await import('./plan.ts')).planCommand,
  },
  {
    name: 'policy',
    summary: 'Show and change how keys are made and how they live',
    load: async () => (await import('./policy.ts')).policyCommand,
  },
  {
    name: 'signer',
    summary: 'List signers, set one aside, bring it back; restore or adopt',
    load: async () => (await import('./signer.ts')).signerCommand,
  },
  {
    name: 'check',
    summary: "Check any domain's published keys at every authoritative server",
    load: async () => (await import('./check.ts')).checkCommand,
  },
  {
    name: 'inventory',
    summary: 'Find the selectors that a domain has, and whose they are',
    load: async () => (await import('./inventory.ts')).inventoryCommand,
  },
  {
    name: 'verify',
    summary: 'Verify the signatures of a message',
    load: async () => (await import('./verify.ts')).verifyCommand,
  },
  {
    name: 'audit',
    summary: 'Read the journal and verify its chain',
    load: async () => (await import('./audit.ts')).auditCommand,
  },
  {
    name: 'store',
    summary: 'Show what the store holds; seal it under a new key',
    load: async () => (await import('./store.ts')).storeCommand,
  },
  {
    name: 'milter',
    summary: 'Run the signing milter alone, or check one',
    load: async () => (await import('./milter.ts')).milterCommand,
  },
  {
    name: 'agent',
    summary: 'Drive the signers of a mail server elsewhere; enroll, check and show agents',
    load: async () => (await import('./agent.ts')).agentCommand,
  },
  {
    name: 'config',
    summary: 'Check and show the configuration',
    load: async () => (await import('./config.ts')).configCommand,
  },
  {
    name: 'completion',
    summary: 'Print a shell completion script',
    load: async () => (await import('./completion.ts')).completionCommand,
  },
  {
    name: 'version',
    summary: 'Print versions',
    load: async () => (await import('./version.ts')).versionCommand,
  },
];
