import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { generateKeyPair } from '../../dkim/key-pair.ts';
import { systemClock } from '../../lifecycle/clock.ts';
import type { Keyring, KeyringKey } from '../keyring.ts';
import type { Signer } from '../signer.ts';
import { fingerprintOfContent } from './keys.ts';
import { filesKind } from './kind.ts';

/** Every call that changes the disk counts; from the one that `dieAt` names on, nothing is done any more: the process is gone. */
const disk = vi.hoisted(() => ({ calls: 0, dieAt: Number.POSITIVE_INFINITY }));

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs/promises')>();
  const step = (): void => {
    disk.calls += 1;
    if (disk.calls >= disk.dieAt) throw Object.assign(new Error('the process is gone'), { code: 'EIO' });
  };
  const guarded = (handle: FileHandle): FileHandle =>
    new Proxy(handle, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          if (name !== 'close') step();
          return Reflect.apply(value, target, args);
        };
      },
    });
  return {
    ...real,
    open: async (...args: Parameters<typeof real.open>) => {
      step();
      return guarded(await real.open(...args));
    },
    rename: async (...args: Parameters<typeof real.rename>) => {
      step();
      return real.rename(...args);
    },
    unlink: async (...args: Parameters<typeof real.unlink>) => {
      step();
      return real.unlink(...args);
    },
    mkdir: async (...args: Parameters<typeof real.mkdir>) => {
      step();
      return real.mkdir(...args);
    },
  };
});

const domain = 'a.test';
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keyturn-crash-'));
  return () => rmSync(folder, { recursive: true });
});

function make(): Promise<Signer> {
  const settings = filesKind.settings.parse({
    path: join(folder, 'keys', '{domain}', '{selector}.{fingerprint}.pem'),
    tables: [
      { path: join(folder, 'known'), holds: 'known', key: '{id} {domain}:{selector}:{file}' },
      { path: join(folder, 'signing'), key: '*@{domain} {id}' },
    ],
  });
  return filesKind.create(settings, {
    id: 'files@test',
    clock: systemClock,
    log: () => undefined,
    folder,
    readSecret: () => '',
    path: (written) => written,
  });
}

async function key(selector: string): Promise<KeyringKey> {
  const { privateKey } = await generateKeyPair({ algorithm: 'ed25519' });
  return { selector, algorithm: 'ed25519-sha256', privateKey };
}

function keyringOf(generation: number, ...keys: readonly KeyringKey[]): Keyring {
  return { domain, generation, mustSign: true, streams: { default: keys }, others: [] };
}

/** The selectors that a program signs with which reads the files now; throws where one of them names what is not there. */
function signing(): string[] {
  const rows = (name: string): string[] =>
    readFileSync(join(folder, name), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
  const known = new Map(rows('known').map((row) => [row.split(' ')[0], row]));
  return rows('signing').map((row) => {
    const id = row.split(' ')[1] ?? '';
    const [, selector = '', file = ''] = known.get(id)?.split(':') ?? [];
    if (fingerprintOfContent(readFileSync(file)) !== id.split('.')[0]) throw new Error(`${file} holds another key`);
    return selector;
  });
}

async function stepsOf(task: () => Promise<unknown>): Promise<number> {
  disk.calls = 0;
  await task();
  return disk.calls;
}

describe('a crash between any two writes', () => {
  test('of a delivery leaves the old keys or the new ones, and the next start finishes it', async () => {
    const [s1, s2] = await Promise.all([key('s1'), key('s2')]);
    let generation = 0;
    const turn = async (): Promise<readonly [Keyring, Keyring]> => {
      const pair = [keyringOf(generation + 1, s1), keyringOf(generation + 2, s2)] as const;
      generation += 2;
      const signer = await make();
      await signer.deliver(pair[0]);
      await signer.inspect?.(pair[0]);
      return pair;
    };
    const [, wanted] = await turn();
    const steps = await stepsOf(async () => (await make()).deliver(wanted));
    expect(steps).toBeGreaterThan(20);
    for (let dieAt = 1; dieAt <= steps; dieAt++) {
      const [before, after] = await turn();
      const dying = await make();
      Object.assign(disk, { calls: 0, dieAt });
      const delivery = await dying.deliver(after);
      disk.dieAt = Number.POSITIVE_INFINITY;
      // What is not known to be done is not said to be done.
      if (delivery.kind === 'acknowledged') expect(signing(), String(dieAt)).toEqual(['s2']);
      else expect([['s1'], ['s2']], String(dieAt)).toContainEqual(signing());
      const next = await make();
      expect((await next.deliver(before)).kind, String(dieAt)).not.toBe('failed');
      expect(await next.deliver(after), String(dieAt)).toEqual({ kind: 'acknowledged', generation: after.generation });
      expect(signing(), String(dieAt)).toEqual(['s2']);
      expect(await next.inspect?.(after), String(dieAt)).toEqual({ kind: 'as-delivered' });
    }
  });

  test('of the removal of old keys leaves what signs', async () => {
    const [s1, s2] = await Promise.all([key('s1'), key('s2')]);
    const deliverBoth = async (generation: number): Promise<Keyring> => {
      const signer = await make();
      await signer.deliver(keyringOf(generation, s1));
      const last = keyringOf(generation + 1, s2);
      await signer.deliver(last);
      return last;
    };
    const first = await deliverBoth(1);
    const steps = await stepsOf(async () => (await make()).inspect?.(first));
    expect(steps).toBeGreaterThan(5);
    for (let dieAt = 1; dieAt <= steps; dieAt++) {
      const last = await deliverBoth(2 * dieAt + 1);
      const dying = await make();
      Object.assign(disk, { calls: 0, dieAt });
      await dying.inspect?.(last);
      disk.dieAt = Number.POSITIVE_INFINITY;
      expect(signing(), String(dieAt)).toEqual(['s2']);
      expect(await (await make()).inspect?.(last), String(dieAt)).toEqual({ kind: 'as-delivered' });
    }
  });
});
