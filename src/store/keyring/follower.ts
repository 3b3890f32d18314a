/** A follower as the control plane knows it: its name, what it signs, and which process it is. */
import { FeedError } from './feed.ts';
import type { RecordSealer } from './sealed-record.ts';

export interface Registration {
  /** The signer's id in every domain's snapshot. */
  readonly name: string;
  /** The data folder that it runs on: the same over restarts, another one elsewhere. */
  readonly installation: string;
  /** This start of it. */
  readonly boot: string;
  readonly host: string;
  /** What it signs: as `signs` in the configuration. */
  readonly signs: {
    readonly domains: readonly string[];
    readonly except: readonly string[];
    readonly streams: readonly string[];
  };
}

/** It is the same installation and signs the same: where one was admitted, so is the other. */
export function sameRegistration(a: Registration, b: Registration): boolean {
  return a.installation === b.installation && JSON.stringify(a.signs) === JSON.stringify(b.signs);
}

export function sealRegistration(sealer: RecordSealer, registration: Registration): Buffer {
  const { name, installation, boot, host, signs } = registration;
  const { domains, except, streams } = signs;
  const plain = { name, installation, boot, host, signs: { domains, except, streams } };
  return sealer.sealText('registration', name, JSON.stringify(plain));
}

/** Null for what was written by nobody who has the key. */
export function readRegistration(sealer: RecordSealer, name: string, sealed: Buffer): Registration | null {
  try {
    return JSON.parse(sealer.openText('registration', name, sealed));
  } catch (error) {
    if (error instanceof FeedError) return null;
    throw error;
  }
}
