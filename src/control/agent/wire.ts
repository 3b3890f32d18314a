/**
 * What agents and the control plane say to one another: JSON over HTTPS, below {@link PATH}. Both sides read what comes by these schemas,
 * so that neither believes what it does not know. Unknown fields are let pass: the two sides are brought up to date one after the other.
 */
import { z } from 'zod';
import { hostName, name } from '../../settings/values.ts';

/** Part of every path: what changes in a way that the other side would misread gets another. */
export const PATH = '/agent/v1/';
/** Names the process of the agent that speaks; a second one under the same name is refused while the first lives. */
export const BOOT_HEADER = 'keyturn-boot';
/** The agent's own time, epoch milliseconds: it is compared, never believed. */
export const TIME_HEADER = 'keyturn-time';
/** Reports in one call at most. */
export const MOST_REPORTS = 500;
/** Octets of a request's body at most. */
export const MOST_REQUEST_BYTES = 2 * 1024 * 1024;
/** Octets of an answer at most, unpacked. */
export const MOST_ANSWER_BYTES = 256 * 1024 * 1024;

const algorithm = z.enum(['rsa-sha256', 'ed25519-sha256']);
const selector = z.string().min(1).max(253);
const generation = z.int().min(0);
const words = z.string().max(4000);

const key = z.object({
  selector,
  algorithm,
  /** PKCS#8, DER, in base64. */
  pkcs8: z.base64(),
  entered: generation,
});

const other = z.object({
  selector,
  publicKey: z.string(),
  state: z.enum(['created', 'published', 'standby', 'retiring', 'revoked', 'removed']),
});

/** A domain's keyring for this agent, and what the control plane is still waiting for. */
const keyringItem = z.object({
  kind: z.literal('keyring'),
  domain: hostName,
  /** When the domain came into care: one that left and came back begins anew with generation 0. */
  born: generation,
  generation,
  mustSign: z.boolean(),
  streams: z.record(z.string().min(1), z.array(key)),
  others: z.array(other),
  /** What somebody else put at the signers is to be written over. */
  overwrite: z.boolean(),
  /** The control plane counts the agent as one that somebody changed by hand: nothing is delivered until a person has decided. */
  drifted: z.boolean(),
  /** The generation that the control plane knows the agent to have. */
  acknowledged: generation,
  /** Keys that it has not seen the agent sign with. */
  tests: z.array(z.object({ stream: z.string(), selector, entered: generation })),
});

/** The domain is the agent's no more; with a generation, that is to be acknowledged. */
const forgetItem = z.object({ kind: z.literal('forget'), domain: hostName, generation: generation.nullable() });

/** The domain is the agent's, and its keys cannot be opened. */
const damagedItem = z.object({ kind: z.literal('damaged'), domain: hostName, mustSign: z.boolean() });

const item = z.discriminatedUnion('kind', [keyringItem, forgetItem, damagedItem]);

/** In every answer: epoch milliseconds. */
const time = z.number();
/** A place in the journal; it outlives restarts of the control plane. */
const position = z.string().regex(/^\d{1,16}\.[0-9a-f]{0,16}$/);

export const helloRequest = z.object({
  version: z.string().max(100),
  /** Random, kept in the agent's folder: tells a restart from a second agent. */
  install: z.string().regex(/^[0-9a-f-]{36}$/),
  host: z.string().max(255),
  signers: z.array(z.object({ name: z.string().max(100), kind: z.string().max(100) })).max(1000),
  /** What all of them can sign with. */
  algorithms: z.array(z.enum(['rsa', 'ed25519'])).max(2),
  atMost: z.int().min(1).nullable(),
});

export const helloAnswer = z.object({
  time,
  name,
  /** Milliseconds for which the name is the agent's after each word. */
  lease: z.number().min(1000),
  algorithms: z.array(z.enum(['rsa', 'ed25519'])),
  atMost: z.int().min(1).nullable(),
});

/** What the agent is to be, and on which host one runs now: asked without greeting. */
export const checkAnswer = helloAnswer.omit({ lease: true }).extend({ held: z.string().nullable() });

/** `after`: the last page's `next`. */
export const pageAnswer = z.object({
  time,
  position,
  items: z.array(item),
  next: z.string().nullable(),
});

export const changesAnswer = z.object({ time, position, items: z.array(item) });

export const missingRequest = z.object({ domains: z.array(hostName).max(MOST_REPORTS) });
export const missingAnswer = z.object({
  time,
  items: z.array(item),
  /** Neither in care nor known to have left: what the agent has of them it keeps. */
  unknown: z.array(hostName),
});

const report = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('acknowledged'), domain: hostName, born: generation.nullable(), generation }),
  z.object({ kind: z.literal('not-acknowledged'), domain: hostName, message: words }),
  /** A test message; `entered` tells the key from another that has had its selector. */
  z.object({ kind: z.literal('signed'), domain: hostName, selector, entered: generation }),
  z.object({ kind: z.literal('test-failed'), domain: hostName, selector, message: words }),
  z.object({ kind: z.literal('drift-found'), domain: hostName, message: words }),
  z.object({ kind: z.literal('drift-gone'), domain: hostName }),
  /** On real mail, so many milliseconds ago: no clock of the agent's goes into it. */
  z.object({ kind: z.literal('signature-seen'), domain: hostName, selector, age: z.number().min(0) }),
]);

export const reportsRequest = z.object({ reports: z.array(report).max(MOST_REPORTS) });
export const reportsAnswer = z.object({ time, taken: z.int().min(0), refused: z.int().min(0) });

export const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string().optional(),
});

export type KeyringItem = z.output<typeof keyringItem>;
export type Item = z.output<typeof item>;
export type Report = z.output<typeof report>;
export type Hello = z.output<typeof helloRequest>;
export type HelloAnswer = z.output<typeof helloAnswer>;
export type PageAnswer = z.output<typeof pageAnswer>;
export type ChangesAnswer = z.output<typeof changesAnswer>;
export type MissingAnswer = z.output<typeof missingAnswer>;

/** Kinds of problem: the last part of `type` in an answer of application/problem+json (RFC 9457). */
export type ProblemKind =
  | 'not-authenticated'
  | 'too-many-failures'
  | 'name-taken'
  | 'not-greeted'
  | 'position-unknown'
  | 'bad-request'
  | 'too-large'
  | 'no-such-call'
  | 'internal';
export const PROBLEM = 'urn:keyturn:agent:';
