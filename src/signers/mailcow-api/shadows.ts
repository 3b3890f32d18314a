/** The helper domains ("shadow domains") of a mail domain: one key each, from which mailcow copies onto the mail domain. */
import type { Clock } from '../../lifecycle/clock.ts';
import type { MailcowClient, MailcowKey } from './client.ts';
import type { Memory } from './memory.ts';

export interface ShadowSettings {
  /** `{domain}` and `{n}` are put in. */
  readonly template: string;
  readonly count: number;
  /** Whether helper domains that mailcow does not have may be added. */
  readonly create: boolean;
}

/** Names of the helper domains, in order. */
export function shadowNames({ template, count }: Pick<ShadowSettings, 'template' | 'count'>, domain: string): string[] {
  return Array.from({ length: count }, (_, index) =>
    template.replaceAll('{n}', String(index + 1)).replaceAll('{domain}', domain),
  );
}

export interface Shadows {
  /** The helper domain that holds a key, or null. */
  find(domain: string, wanted: { readonly selector: string; readonly publicKey?: string }): Promise<Held | null>;
  /** A helper domain without a key that mailcow knows. @throws Error saying what to do where there is none. */
  free(domain: string): Promise<string>;
  all(domain: string): Promise<readonly Held[]>;
  /** Notes, before it is done, that a key is put on a helper domain: an interruption must not leave one that nobody knows of. */
  note(domain: string, shadow: string, selector: string): void;
  /** Takes away the key of a helper domain where we put it there ourselves; false where we did not. */
  clear(domain: string, held: Held): Promise<boolean>;
}

export interface Held {
  readonly shadow: string;
  readonly key: MailcowKey;
}

export function createShadows(
  client: MailcowClient,
  settings: ShadowSettings,
  { memory, clock }: { readonly memory: Memory; readonly clock: Clock },
): Shadows {
  const shadows: Shadows = {
    async all(domain) {
      const held: Held[] = [];
      for (const shadow of shadowNames(settings, domain)) {
        const key = await client.key(shadow);
        if (key !== null) held.push({ shadow, key });
      }
      return held;
    },
    async find(domain, { selector, publicKey }) {
      const held = await shadows.all(domain);
      return (
        held.find(({ key }) => key.selector === selector && (publicKey === undefined || key.publicKey === publicKey)) ??
        null
      );
    },
    async free(domain) {
      const names = shadowNames(settings, domain);
      const taken: string[] = [];
      for (const shadow of names) {
        const key = await client.key(shadow);
        if (key !== null) {
          taken.push(`${shadow} (${key.selector})`);
          continue;
        }
        if (await client.hasDomain(shadow)) return shadow;
        if (!settings.create)
          throw new Error(
            `mailcow has no domain ${shadow} to hold the next key of ${domain}: add it there (not in the global address list), or set createShadows: true for this signer.`,
          );
        await client.addShadow(shadow, `Holds DKIM keys of ${domain}`);
        if (!(await client.hasDomain(shadow)))
          throw new Error(`mailcow says that it added ${shadow}, and does not have it.`);
        return shadow;
      }
      throw new Error(
        `Every helper domain of ${domain} holds a key: ${taken.join(', ')}. Delete the keys that nobody needs in mailcow, or let this signer have more of them (shadowCount).`,
      );
    },
    note(domain, shadow, selector) {
      const { placed } = memory.get(domain);
      const others = placed.filter((each) => each.shadow !== shadow);
      memory.put(domain, { placed: [...others, { shadow, selector, at: clock.now() }] });
    },
    async clear(domain, { shadow, key }) {
      const { placed } = memory.get(domain);
      if (!placed.some((each) => each.shadow === shadow && each.selector === key.selector)) return false;
      await client.deleteKey(shadow);
      memory.put(domain, { placed: placed.filter((each) => each.shadow !== shadow) });
      return true;
    },
  };
  return shadows;
}
