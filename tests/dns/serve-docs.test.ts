/** The secondaries' lines of docs/dns-server.md, run as they stand but for addresses and folders. */
import { mkdirSync, readFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseConfig } from '../../src/control/config/load.ts';
import { createProver } from '../../src/dns/lookup/prove.ts';
import { createAuthoritativeServer } from '../../src/dns/serve/server.ts';
import { createZoneStore } from '../../src/dns/serve/zone-store.ts';
import { type DnsProgram, startDnsProgram, untilServed, writeOwned } from '../support/dns-process.ts';
import { need } from '../support/need.ts';
import { freePort } from '../support/ports.ts';
import { waitFor } from '../support/processes.ts';

const page = readFileSync(new URL('../../docs/dns-server.md', import.meta.url), 'utf8');
const apex = '_domainkey.customer.example';
const name = `s1.${apex}`;
const secret = 'c2VjcmV0IG9mIHRoZSB0cmFuc2ZlciBrZXksIDMyIGI=';

/** The page's block of that file, for a primary on another port of the loopback address. */
function block(file: string, primary: number): string {
  const lines = page.split(`\`\`\`${file}\n`)[1]?.split('\n```')[0] ?? expect.fail(`no block ${file}`);
  return lines
    .replaceAll('192.0.2.10@53', `127.0.0.1@${primary}`)
    .replaceAll('192.0.2.10 port 53', `127.0.0.1 port ${primary}`)
    .replaceAll('192.0.2.10', '127.0.0.1');
}

type Configure = (
  folder: string,
  port: number,
  primary: number,
) => { readonly text: string; readonly args: readonly string[] };

const knot: Configure = (folder, port, primary) => {
  mkdirSync(`${folder}/db`, { recursive: true });
  const own = `template:\n  - id: default\n    storage: ${folder}\nserver:\n  rundir: ${folder}\n  listen: 127.0.0.1@${port}\nlog:\n  - target: stderr\n    any: info\ndatabase:\n  storage: ${folder}/db\n  journal-db-max-size: 32M\n  timer-db-max-size: 8M\n  kasp-db-max-size: 8M\n`;
  return { text: own + block('knot.conf', primary), args: ['-c', `${folder}/secondary.conf`] };
};
const nsd: Configure = (folder, port, primary) => {
  const own = `server:\n  ip-address: 127.0.0.1@${port}\n  do-ip6: no\n  server-count: 1\n  username: ""\n  chroot: ""\n  zonesdir: "${folder}"\n  database: ""\n  pidfile: "${folder}/nsd.pid"\n  xfrdfile: "${folder}/xfrd.state"\n  xfrdir: "${folder}"\n  zonelistfile: "${folder}/zone.list"\n  xfrd-reload-timeout: 0\nremote-control:\n  control-enable: no\n`;
  return { text: own + block('nsd.conf', primary), args: ['-d', '-c', `${folder}/secondary.conf`] };
};
const bind: Configure = (folder, port, primary) => {
  const own = `options { directory "${folder}"; pid-file "${folder}/named.pid"; session-keyfile "${folder}/session.key"; managed-keys-directory "${folder}"; listen-on port ${port} { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; dnssec-validation no; min-refresh-time 1; min-retry-time 1; };\ncontrols { };\n`;
  return { text: own + block('named.conf', primary), args: ['-g', '-n', '1', '-c', `${folder}/secondary.conf`] };
};

const programs = [
  ['Knot', 'knotd', 'knot', knot],
  ['NSD', 'nsd', 'nsd', nsd],
  ['BIND', 'named', 'bind9', bind],
] as const;

test("the page's configuration is one", () => {
  const blocks = page
    .split('```keyturn.yaml\n')
    .slice(1)
    .map((part) => part.split('\n```')[0] ?? '');
  expect(blocks).toHaveLength(2);
  const config = parseConfig(blocks.join('\n'), 'keyturn.yaml');
  expect(config.dns.zones.map((zone) => zone.apex)).toEqual([apex]);
  expect(config.publishers).toMatchObject([{ kind: 'builtin', target: 'dkim.hoster.example' }]);
});

for (const [title, command, debianPackage, configure] of programs) {
  describe.skipIf(!need(command, debianPackage))(`the page's lines for ${title}`, () => {
    test('fetch the zone with the key, and each change when they are told', async () => {
      const port = await freePort();
      const zones = createZoneStore([
        { apex, nameServers: ['ns1.example.net'], records: [[name, { value: 'v=DKIM1; p=AA', ttl: 60 }]] },
      ]);
      const primary = await createAuthoritativeServer({
        zones,
        listen: [{ address: '127.0.0.1', port: 0 }],
        keys: [{ name: 'keyturn-transfer', algorithm: 'hmac-sha256', secret: Buffer.from(secret, 'base64') }],
        transfers: () => ({ secondaries: [{ address: '127.0.0.1', port }] }),
      });
      onTestFinished(() => primary.close());
      const program: DnsProgram = {
        name: command,
        command,
        port,
        zones: [],
        configure: (dir, at) => {
          const { text, args } = configure(dir.path, at, primary.endpoints[0]?.port ?? 0);
          writeOwned(dir.join('secondary.conf'), text);
          return { args };
        },
      };
      const secondary = await startDnsProgram(program);
      onTestFinished(() => secondary.stop());
      await untilServed(secondary, apex);
      const prover = createProver({ resolvers: [], zones: [{ apex, servers: [`127.0.0.1:${port}`] }] });
      const proved = (value: string) => async (): Promise<boolean> => {
        const proof = await prover.prove(name, { kind: 'key', value });
        // Told by waitFor when time is up.
        if (proof.verdict !== 'seen') throw new Error(JSON.stringify(proof));
        return true;
      };
      await waitFor(proved('v=DKIM1; p=AA'), { what: 'the first record' });
      zones.set(name, { value: 'v=DKIM1; p=BB', ttl: 60 });
      await waitFor(proved('v=DKIM1; p=BB'), { what: 'the changed record', within: 15_000 });
    });
  });
}
