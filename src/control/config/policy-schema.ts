/** Policies as they are written in `keyturn.yaml` and on the command line. What is left out comes from the defaults of the field. */
import { z } from 'zod';
import { defaultPolicy, type FreezeWindow, type KeySpec, type Policy } from '../../lifecycle/policy.ts';
import { formatDuration } from '../../settings/durations.ts';
import { duration } from '../../settings/values.ts';

const rsaBits = [2048, 3072, 4096] as const;

/** `rsa-2048`, `ed25519`, `2 x rsa-3072`. */
export function parseKeySpec(text: string): KeySpec | null {
  const match = /^(?:(\d{1,2})\s*[x×]\s*)?(?:rsa-?(\d{4})?|(ed25519))$/i.exec(text.trim());
  if (match === null) return null;
  const count = match[1] === undefined ? 1 : Number(match[1]);
  if (count < 1) return null;
  if (match[3] !== undefined) return { algorithm: 'ed25519', bits: 256, count };
  const bits = match[2] === undefined ? 2048 : Number(match[2]);
  return rsaBits.some((known) => known === bits) ? { algorithm: 'rsa', bits, count } : null;
}

export function formatKeySpec(spec: KeySpec): string {
  const kind = spec.algorithm === 'ed25519' ? 'ed25519' : `rsa-${spec.bits}`;
  return spec.count === 1 ? kind : `${spec.count} x ${kind}`;
}

const keySpec = z.string().transform((text, context) => {
  const spec = parseKeySpec(text);
  if (spec !== null) return spec;
  context.addIssue({ code: 'custom', message: 'expected rsa-2048, rsa-3072, rsa-4096, ed25519, or "2 x rsa-2048"' });
  return z.NEVER;
});

const weekdays = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

function monthDay(text: string): { month: number; day: number } | null {
  const match = /^(\d{2})-(\d{2})$/.exec(text);
  const [month, day] = [Number(match?.[1]), Number(match?.[2])];
  return match !== null && month >= 1 && month <= 12 && day >= 1 && day <= 31 ? { month, day } : null;
}

function weekTime(text: string): { weekday: number; minute: number } | null {
  const match = /^([a-z]{3})[a-z]*(?:\s+(\d{2}):(\d{2}))?$/i.exec(text.trim());
  const weekday = weekdays.indexOf((match?.[1] ?? '').toLowerCase());
  const minute = Number(match?.[2] ?? 0) * 60 + Number(match?.[3] ?? 0);
  return weekday >= 0 && minute < 1440 ? { weekday, minute } : null;
}

/** The kind of window follows from how its ends are written: `12-20`, `Fri 18:00`, or a date with or without a time (UTC). */
function parseWindow(from: string, to: string, why: string | undefined): FreezeWindow | null {
  const reason = why === undefined ? {} : { why };
  const [yearFrom, yearTo] = [monthDay(from), monthDay(to)];
  if (yearFrom !== null && yearTo !== null) return { kind: 'yearly', from: yearFrom, to: yearTo, ...reason };
  const [weekFrom, weekTo] = [weekTime(from), weekTime(to)];
  if (weekFrom !== null && weekTo !== null) return { kind: 'weekly', from: weekFrom, to: weekTo, ...reason };
  const [dateFrom, dateTo] = [from, to].map((text) =>
    /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN,
  );
  if (dateFrom === undefined || dateTo === undefined || !(dateFrom < dateTo)) return null;
  return { kind: 'dates', from: dateFrom, to: dateTo, ...reason };
}

const freezeWindow = z
  .strictObject({ from: z.string(), to: z.string(), why: z.string().max(200).optional() })
  .transform((window, context) => {
    const parsed = parseWindow(window.from, window.to, window.why);
    if (parsed !== null) return parsed;
    context.addIssue({
      code: 'custom',
      message:
        'expected both ends as 12-20 (every year), "Fri 18:00" (every week), or 2026-12-20T00:00Z (once), the first before the last',
    });
    return z.NEVER;
  });

const seconds = duration.transform((milliseconds) => Math.round(milliseconds / 1000));
const ttl = seconds.refine((value) => value >= 0 && value <= 604_800, { error: 'expected a TTL between 0 and 7d' });

/** Every setting of a policy, all of them optional. Durations become milliseconds, TTLs seconds. */
export const policySettings = z.strictObject({
  keys: z.array(keySpec).min(1).max(8).optional(),
  selectorTemplate: z
    .string()
    .max(63)
    .regex(
      /^(?:[a-z0-9-]|\{(?:date|algorithm|stream|n)\})+$/,
      'expected lower-case letters, digits, hyphens and {date} {algorithm} {stream} {n}',
    )
    .refine((template) => template.includes('{n}'), { error: 'must contain {n}, which keeps selectors apart' })
    .optional(),
  selectors: z
    .array(
      z.string().regex(/^(?!-)[a-z0-9-]{1,63}(?<!-)$/, 'expected a selector of lower-case letters, digits and hyphens'),
    )
    .max(64)
    .refine((names) => new Set(names).size === names.length, { error: 'names a selector twice' })
    .optional(),
  rotateEvery: duration.optional(),
  jitter: z.number().min(0).max(0.5).optional(),
  lead: duration.optional(),
  standby: z.int().min(0).max(8).optional(),
  overlap: duration.optional(),
  tombstone: duration.optional(),
  ttl: ttl.optional(),
  ttlAhead: ttl.optional(),
  freeze: z.array(freezeWindow).max(64).optional(),
  approval: z.enum(['none', 'required']).optional(),
  proofFresh: duration.optional(),
  watchEvery: duration.optional(),
});

export type PolicySettings = z.output<typeof policySettings>;

/** The policy that these settings make of another one. */
export function changePolicy(base: Policy, settings: PolicySettings): Policy {
  const given = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
  return { ...base, ...given };
}

/** What would make a policy contradict itself; empty where it is sound. */
export function policyProblems(policy: Policy): string[] {
  const problems: string[] = [];
  if (policy.ttlAhead > policy.ttl) problems.push('ttlAhead must not be greater than ttl');
  if (policy.rotateEvery <= policy.lead) {
    problems.push(
      `rotateEvery (${formatDuration(policy.rotateEvery)}) must be longer than lead (${formatDuration(policy.lead)})`,
    );
  }
  if (policy.rotateEvery <= 0) problems.push('rotateEvery must be greater than 0');
  if (policy.proofFresh <= 0) problems.push('proofFresh must be greater than 0');
  if (policy.watchEvery <= 0) problems.push('watchEvery must be greater than 0');
  const slots = policy.selectors?.length ?? 0;
  const least = policy.keys.reduce((sum, { count }) => sum + count + Math.max(policy.standby, 1), 0);
  if (slots > 0 && slots < least) {
    problems.push(`selectors names ${slots}, and the active keys and their successors need ${least}`);
  }
  const kinds = policy.keys.map((spec) => `${spec.algorithm} ${spec.bits}`);
  if (new Set(kinds).size < kinds.length)
    problems.push('keys names the same kind twice; write "2 x rsa-2048" for two of one kind');
  return problems;
}

export const policySchema = policySettings.transform((settings, context) => {
  const policy = changePolicy(defaultPolicy, settings);
  for (const message of policyProblems(policy)) context.addIssue({ code: 'custom', message });
  return policy;
});
