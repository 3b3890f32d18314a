import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Action, Command, Step } from './codes.ts';
import { decodeOffer, encodeOffer, negotiate } from './negotiate.ts';

const postfix = { version: 6, actions: 0x1ff, steps: 0x1f_ffff };

describe('negotiation', () => {
  it('never takes what was not offered, nor a higher version', () => {
    const bits = fc.integer({ min: 0, max: 0x7fff_ffff });
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 20 }),
        bits,
        bits,
        fc.boolean(),
        (version, actions, steps, answerHeaders) => {
          const agreed = negotiate({ version, actions: actions | Action.addHeaders, steps }, answerHeaders);
          if (agreed.kind !== 'agreed') throw new Error(agreed.why);
          expect(agreed.version).toBeLessThanOrEqual(Math.min(version, 6));
          expect(agreed.actions & ~(actions | Action.addHeaders)).toBe(0);
          expect(agreed.steps & ~steps).toBe(0);
        },
      ),
    );
  });

  it('takes the leading space and silence from an MTA that has them', () => {
    const agreed = negotiate(postfix);
    if (agreed.kind !== 'agreed') throw new Error(agreed.why);
    expect(agreed.steps & Step.leadingSpace).not.toBe(0);
    expect(agreed.steps & Step.silentBody).not.toBe(0);
    // Headers, body and the client's address are what signing needs.
    expect(agreed.steps & (Step.noHeaders | Step.noBody | Step.noConnect | Step.noMail | Step.noEndOfHeaders)).toBe(0);
  });

  it('leaves the end of the headers to be answered where that is wanted', () => {
    const agreed = negotiate(postfix, true);
    expect(agreed.kind === 'agreed' && agreed.steps & Step.silentEndOfHeaders).toBe(0);
  });

  it('asks for macros where the MTA lets it, each list with its stage', () => {
    const agreed = negotiate(postfix);
    if (agreed.kind !== 'agreed') throw new Error(agreed.why);
    expect(agreed.answer[4]).toBe(Command.negotiate);
    expect(agreed.answer.toString('latin1')).toContain('\0\0\0\x02{auth_authen} {mail_addr}\0');
    const without = negotiate({ ...postfix, actions: Action.addHeaders });
    expect(without.kind === 'agreed' && without.answer.length).toBe(5 + 12);
  });

  it('refuses an MTA that will not have header fields added, and one of the first version', () => {
    expect(negotiate({ ...postfix, actions: 0x1fe })).toMatchObject({ kind: 'refused' });
    expect(negotiate({ ...postfix, version: 1 })).toMatchObject({ kind: 'refused' });
  });

  it('reads the offer it writes, and none that is cut short', () => {
    expect(decodeOffer(encodeOffer(postfix))).toEqual(postfix);
    expect(decodeOffer(encodeOffer(postfix).subarray(0, 11))).toBeNull();
  });
});
