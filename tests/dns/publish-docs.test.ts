/** The lines that docs/publishers/rfc2136.md tells people to paste, on real servers. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { publisherConfig } from '../../src/dns/publish/config.ts';
import { createPublisher } from '../../src/dns/publish/create.ts';
import type { Publisher } from '../../src/dns/publish/publisher.ts';
import { startBind } from '../support/bind.ts';
import { startDnsProgram, untilServed, writeOwned } from '../support/dns-process.ts';
import { type DnsServer, zoneFile } from '../support/dns-server.ts';
import { need } from '../support/need.ts';
import { runOk } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';

const page = readFileSync(new URL('../../docs/publishers/rfc2136.md', import.meta.url), 'utf8');

function snippet(language: string): string {
  const text = page.split(`\`\`\`${language}\n`)[1]?.split('```')[0];
  if (text === undefined) throw new Error(`the page has no ${language} part`);
  return text;
}

/** The publisher of the page, sent to this server with this key file. */
function documented(port: number, keyFile: string): Publisher {
  const [entry] = parse(snippet('keyturn.yaml')).publishers;
  const settings = publisherConfig.parse({ ...entry, servers: [`127.0.0.1:${port}`] });
  return createPublisher(settings, { clock: { now: Date.now }, readFile: () => readFileSync(keyFile, 'utf8') });
}

async function canWriteKeysAndNothingElse(server: DnsServer, keyFile: string): Promise<void> {
  const publisher = documented(server.port, keyFile);
  const desired = { value: 'v=DKIM1; p=', ttl: 300 };
  const at = (name: string) => publisher.apply({ name, desired, ours: [] });
  expect(await at('s1._domainkey.example.com')).toEqual({ kind: 'done' });
  expect((await at('www.example.com')).kind).toBe('refused');
  expect((await at('_domainkeyed.example.com')).kind).toBe('refused');
}

describe.skipIf(!need('named', 'bind9') || !need('tsig-keygen', 'bind9'))('the lines for BIND', () => {
  it('let Keyturn write key records and nothing else', async () => {
    using dir = tempDir('docs');
    const keyFile = dir.join('keyturn.key');
    writeFileSync(keyFile, await runOk('tsig-keygen', ['-a', 'hmac-sha256', 'keyturn']));
    const file = dir.join('example.com.zone');
    writeFileSync(file, zoneFile({ apex: 'example.com' }));
    const lines = snippet('named.conf')
      .replace('/etc/bind/keyturn.key', keyFile)
      .replace('/var/lib/bind/example.com.zone', file);
    // What startBind writes ends with the zones it is given: none. The page's lines take their place.
    await using server = await startBind({ extraOptions: [`}; ${lines.replace(/\};\s*$/, '')}`] });
    await untilServed(server, 'example.com');
    await canWriteKeysAndNothingElse(server, keyFile);
  });
});

describe.skipIf(!need('knotd', 'knot') || !need('keymgr', 'knot'))('the lines for Knot', () => {
  it('let Keyturn write key records and nothing else', async () => {
    using dir = tempDir('docs');
    const keyFile = dir.join('keyturn.key');
    const key = await runOk('keymgr', ['-t', 'keyturn', 'hmac-sha256']);
    writeFileSync(keyFile, key);
    await using server = await startDnsProgram({
      name: 'knotd',
      command: 'knotd',
      port: undefined,
      zones: ['example.com'],
      configure: (folder, port) => {
        mkdirSync(folder.join('db'), { recursive: true });
        writeOwned(folder.join('example.com.zone'), zoneFile({ apex: 'example.com' }));
        const storage = `    storage: ${folder.path}\n`;
        const configuration =
          `server:\n  rundir: ${folder.path}\n  listen: 127.0.0.1@${port}\n` +
          `database:\n  storage: ${folder.join('db')}\n  journal-db-max-size: 32M\n  timer-db-max-size: 8M\n  kasp-db-max-size: 8M\n` +
          `${key}${snippet('knot.conf').replace('  - domain: example.com\n', `$&${storage}`)}`;
        writeOwned(folder.join('knot.conf'), configuration);
        return { args: ['-c', folder.join('knot.conf')] };
      },
    });
    await canWriteKeysAndNothingElse(server, keyFile);
  });
});
