/** A world that answers at once and as one would wish: what remains is our own work. */
import { randomBytes } from 'node:crypto';
import { bindToAll } from '../../src/control/bindings.ts';
import { createKeyPairSource } from '../../src/control/key-pairs.ts';
import { createLimit } from '../../src/control/limit.ts';
import { silentLog } from '../../src/control/log.ts';
import type { LookContext } from '../../src/control/look.ts';
import { recordText } from '../../src/control/records.ts';
import { createSignatureLedger } from '../../src/control/signature-ledger.ts';
import type { World } from '../../src/control/world.ts';
import type { Clock } from '../../src/lifecycle/clock.ts';
import type { Store } from '../../src/store/store.ts';

export function benchContext(store: Store, clock: Clock): LookContext {
  const pairs = createKeyPairSource(store, clock, 0);
  const world: World = {
    publisherOf: () => ({
      name: 'at-once',
      capabilities: { automatic: true, atomicCompareAndSet: true, minimumTtl: 0, maximumValueBytes: 65_535 },
      apply: async () => ({ kind: 'done' }),
    }),
    // The proof of a usual zone with two name servers, in full, for it is stored in full.
    prove: async (name, expected) => ({
      name,
      expected: expected.kind,
      at: clock.now(),
      verdict: 'seen',
      apex: name.split('.').slice(-2).join('.'),
      negativeTtl: 300,
      answers: ['ns1.provider.example', 'ns2.provider.example'].map((server, n) => ({
        server,
        address: `192.0.2.${n + 1}:53`,
        role: 'authoritative' as const,
        verdict: 'seen' as const,
        values: 'value' in expected ? [expected.value] : [],
        ttl: expected.kind === 'absent' ? null : 3600,
        cnames: [],
        transport: 'udp' as const,
        milliseconds: 12,
      })),
    }),
    signers: new Map([
      [
        'milter',
        {
          id: 'milter',
          kind: 'at-once',
          deliver: async ({ generation }) => ({ kind: 'acknowledged', generation }),
          forget: async () => {},
          selfTest: async () => ({ kind: 'signed' }),
        },
      ],
    ]),
    bindings: [bindToAll('milter')],
    keyPair: (algorithm, bits) => pairs.take(algorithm, bits),
    newKeyId: () => randomBytes(12).toString('base64url'),
    recordText,
  };
  return {
    store,
    world,
    clock,
    ledger: createSignatureLedger(),
    log: silentLog,
    limit: createLimit(64),
    effectTimeout: 60_000,
    leaseMs: 600_000,
  };
}
