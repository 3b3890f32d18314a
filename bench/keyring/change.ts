/** One change of an active set, as a look commits it. */
import type { Store } from '../../src/store/store.ts';

/** The standby keys enter, the active ones retire. */
export async function changeKey(store: Store, domain: string): Promise<void> {
  const stored = await store.snapshot(domain);
  if (stored === null) throw new Error(`${domain} is not in the store`);
  const { snapshot: before, version } = stored;
  const generation = before.domain.generation + 1;
  const at = Date.now();
  const keys = before.keys.map((key) => {
    if (key.state === 'standby')
      return { ...key, state: 'active' as const, activatedAt: at, enteredGeneration: generation };
    return key.state === 'active'
      ? { ...key, state: 'retiring' as const, retiredAt: at, leftGeneration: generation }
      : key;
  });
  const result = await store.commit(
    { name: domain, version },
    {
      before,
      after: { ...before, domain: { ...before.domain, generation }, keys },
      events: [{ actor: 'bench', source: 'reconcile', domain, kind: 'active-changed', details: {} }],
    },
  );
  if (result.kind !== 'committed') throw new Error(`${domain} was changed by somebody else`);
}
