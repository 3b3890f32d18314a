/**
 * Draws docs/lanes.svg: the first ten months of a domain under the default policy, as the planner itself foretells them.
 * `node scripts/draw-lanes.ts`
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { apply } from '../src/lifecycle/apply.ts';
import { newDomain } from '../src/lifecycle/new-domain.ts';
import { defaultPolicy } from '../src/lifecycle/policy.ts';
import { timeline } from '../src/lifecycle/timeline.ts';
import type { KeyState } from '../src/lifecycle/types.ts';

const DAY = 86_400_000;
const from = Date.UTC(2027, 0, 1);
const to = from + 304 * DAY;

/** What each state looks like, and what it means to a reader. */
const looks: Partial<Record<KeyState, { readonly fill: string; readonly height: number; readonly meaning: string }>> = {
  standby: { fill: '#9ca3af', height: 6, meaning: 'in DNS, standing by' },
  active: { fill: '#0f9d76', height: 18, meaning: 'signs mail' },
  retiring: { fill: '#d99a2b', height: 10, meaning: 'signs no more, still verifies' },
  revoked: { fill: '#c8553d', height: 3, meaning: 'revoked (empty p=)' },
};

const left = 170;
const width = 700;
const laneHeight = 28;
const x = (at: number): number => left + ((Math.min(Math.max(at, from), to) - from) / (to - from)) * width;
const round = (value: number): string => value.toFixed(1).replace(/\.0$/, '');

interface Lane {
  readonly selector: string;
  readonly changes: { readonly at: number; readonly state: KeyState }[];
}

function lanes(): Lane[] {
  const domain = apply(newDomain('example.com', 'mail', from), {
    kind: 'signer-added',
    at: from,
    signerId: 'milter',
    streams: ['default'],
  }).snapshot;
  const found = new Map<string, Lane>();
  for (const { at, selector, state } of timeline(domain, defaultPolicy, from, to)) {
    if (selector === null || state === null) continue;
    const lane = found.get(selector) ?? { selector, changes: [] };
    found.set(selector, lane);
    lane.changes.push({ at, state });
  }
  return [...found.values()].filter((lane) =>
    lane.changes.some(({ state }) => state === 'standby' || state === 'active'),
  );
}

function drawLane(lane: Lane, index: number): string {
  const middle = 40 + index * laneHeight + laneHeight / 2;
  const bars = lane.changes.map(({ at, state }, n) => {
    const look = looks[state];
    if (look === undefined) return '';
    const start = x(at);
    const end = x(lane.changes[n + 1]?.at ?? to);
    const title = `${lane.selector} ${state} from ${new Date(at).toISOString().slice(0, 10)}`;
    return `  <rect x="${round(start)}" y="${round(middle - look.height / 2)}" width="${round(Math.max(end - start, 0.5))}" height="${look.height}" rx="1.5" fill="${look.fill}"><title>${title}</title></rect>\n`;
  });
  return `  <text x="${left - 12}" y="${round(middle + 4)}" text-anchor="end" class="mono">${lane.selector}</text>\n${bars.join('')}`;
}

function drawMonths(bottom: number): string {
  let text = '';
  for (let month = 0; month < 10; month += 1) {
    const at = Date.UTC(2027, month, 1);
    const name = new Date(at).toLocaleString('en', { month: 'short', timeZone: 'UTC' });
    text += `  <line x1="${round(x(at))}" y1="34" x2="${round(x(at))}" y2="${bottom}" class="grid"/>\n`;
    text += `  <text x="${round(x(at) + 4)}" y="28">${name}</text>\n`;
  }
  return text;
}

function drawLegend(top: number): string {
  let position = left;
  return Object.values(looks)
    .map(({ fill, height, meaning }) => {
      const item = `  <rect x="${position}" y="${top - height / 2}" width="22" height="${height}" rx="1.5" fill="${fill}"/>\n  <text x="${position + 30}" y="${top + 4}">${meaning}</text>\n`;
      position += 62 + meaning.length * 6;
      return item;
    })
    .join('');
}

const all = lanes();
const bottom = 40 + all.length * laneHeight;
const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${left + width + 20} ${bottom + 44}" role="img" aria-label="Keys of a domain as lanes over ten months: each pair of RSA and Ed25519 keys stands by in DNS, signs, goes on verifying, is revoked; its successors sign before it stops.">
  <style>
    text { font: 12px system-ui, sans-serif; fill: #6b7280 }
    .mono { font: 12px ui-monospace, monospace }
    .grid { stroke: #9ca3af; stroke-opacity: 0.3 }
  </style>
${drawMonths(bottom)}${all.map(drawLane).join('')}${drawLegend(bottom + 24)}</svg>
`;
writeFileSync(fileURLToPath(new URL('../docs/lanes.svg', import.meta.url)), svg);
console.log(`docs/lanes.svg: ${all.length} keys`);
