/** One connection of an MTA: several clients one after the other, several messages each, one at a time. */
import { BodyHasher } from '../../dkim/body-hash.ts';
import { fromDomains } from '../../dkim/from-domains.ts';
import type { SignatureField } from '../../dkim/sign.ts';
import { Command, Family, Step } from './codes.ts';
import type { MilterCore, SessionPeer } from './core.ts';
import { type Decision, decide, isOutbound, type SigningDecision } from './decide.ts';
import { decodeStrings, type FrameSink } from './frames.ts';
import { keepField, type Message, newMessage, noMessage } from './message.ts';
import { decodeOffer, negotiate } from './negotiate.ts';
import { plainAddress } from './networks.ts';
import { replyContinue, signedReply } from './reply.ts';
import type { Envelope } from './rules.ts';
import { settle } from './settle.ts';

/** Where a message stands. */
type Stage =
  /** No message, or one that is answered: whatever comes of it is not looked at. */
  | 'idle'
  | 'header'
  /** It will be signed: its body is hashed. */
  | 'body'
  /** It is decided without a signature, and the next frame that is answered tells so. */
  | 'decided'
  | 'signing';

export class MilterSession implements FrameSink {
  readonly #core: MilterCore;
  readonly #peer: SessionPeer;
  #negotiated = false;
  #version = 0;
  #steps = 0;
  #stage: Stage = 'idle';
  #closed = false;
  #draining = false;
  // Of the client.
  #clientAddress: string | null = null;
  #isLocal = false;
  #daemonName: string | null = null;
  #message: Message = noMessage;
  /** Macros of MAIL arrive before MAIL itself. */
  #user: string | null = null;

  constructor(core: MilterCore, peer: SessionPeer) {
    this.#core = core;
    this.#peer = peer;
  }

  /** A message is on its way: its fate is not decided yet. */
  get inMessage(): boolean {
    return this.#stage !== 'idle';
  }

  /** Ends the connection as soon as no message is on its way. */
  drain(): void {
    this.#draining = true;
    if (this.#stage === 'idle') this.#end();
  }

  /** The connection is gone: what is still being signed is for nobody. */
  closed(): void {
    this.#closed = true;
    this.#stage = 'idle';
    this.#message = noMessage;
  }

  frame(command: number, data: Buffer): boolean {
    if (this.#closed) return false;
    if (!this.#negotiated && command !== Command.negotiate && command !== Command.quit) {
      return this.#violation('it began without negotiating');
    }
    switch (command) {
      case Command.header:
        return this.#header(data);
      case Command.macros:
        this.#macros(data);
        return true;
      case Command.mail:
        return this.#mail(data);
      case Command.endOfHeaders:
        return this.#endOfHeaders();
      case Command.endOfBody:
        return this.#endOfBody(data);
      case Command.abort:
        return this.#messageOver();
      case Command.connect:
        return this.#connect(data);
      case Command.helo:
        return this.#silentOr(Step.silentHelo);
      case Command.recipient:
        return this.#silentOr(Step.silentRecipient);
      case Command.data:
        return this.#silentOr(Step.silentData);
      case Command.unknown:
        return this.#silentOr(Step.silentUnknown);
      case Command.quitNewConnection:
        this.#forgetClient();
        return this.#messageOver();
      case Command.quit:
        this.#end();
        return false;
      case Command.negotiate:
        return this.#negotiate(data);
      default:
        return this.#violation(`it sent the unknown command ${command}`);
    }
  }

  body(piece: Buffer): void {
    if (this.#stage === 'header') this.#headersOver();
    if (this.#stage === 'body') this.#message.hasher?.update(piece);
  }

  bodyEnd(): boolean {
    if (this.#closed) return false;
    if (!this.#negotiated) return this.#violation('it began without negotiating');
    if (this.#stage === 'header') this.#headersOver();
    return this.#answerAt(Step.silentBody);
  }

  #negotiate(data: Buffer): boolean {
    const offer = decodeOffer(data);
    if (offer === null) return this.#violation('its offer is cut short');
    const agreed = negotiate(offer, this.#core.answerHeaders);
    if (agreed.kind === 'refused') return this.#violation(agreed.why);
    this.#negotiated = true;
    this.#version = agreed.version;
    this.#steps = agreed.steps;
    this.#forgetClient();
    this.#stage = 'idle';
    this.#message = noMessage;
    this.#peer.write(agreed.answer);
    return true;
  }

  /** host name NUL, family, then for networks: uint16 port, address NUL. */
  #connect(data: Buffer): boolean {
    const nul = data.indexOf(0);
    if (nul < 0 || nul + 1 >= data.length) return this.#violation('its CONNECT frame is cut short');
    this.#clientAddress = null;
    const family = data[nul + 1];
    const host = data.toString('latin1', 0, nul);
    // Sendmail reading from a pipe names the host and no address; a remote client without one is never called so.
    this.#isLocal = family === Family.unix || (family === Family.unknown && host === 'localhost');
    if (family === Family.inet || family === Family.inet6) {
      this.#clientAddress = plainAddress(decodeStrings(data.subarray(nul + 4))[0] ?? '');
    }
    return this.#silentOr(Step.silentConnect);
  }

  #macros(data: Buffer): void {
    const of = data[0];
    const strings = decodeStrings(data.subarray(1));
    for (let i = 0; i + 1 < strings.length; i += 2) {
      const value = strings[i + 1] ?? '';
      switch (strings[i]) {
        case '{daemon_name}':
          this.#daemonName = value;
          break;
        case '{auth_authen}':
          if (of === Command.mail) this.#user = value;
          break;
        case 'i':
          if (this.#stage !== 'idle') this.#message.queueId = value;
          break;
      }
    }
  }

  #mail(data: Buffer): boolean {
    const sender = decodeStrings(data)[0] ?? '';
    const message = newMessage();
    message.user = this.#user;
    message.sender = sender.startsWith('<') && sender.endsWith('>') ? sender.slice(1, -1) : sender;
    this.#user = null;
    this.#message = message;
    message.outbound = isOutbound(this.#envelope(), this.#core.settings);
    this.#stage = 'header';
    return this.#silentOr(Step.silentMail);
  }

  /** name NUL value NUL. The NUL between becomes a colon, and the frame is the field, without a copy. */
  #header(data: Buffer): boolean {
    if (this.#stage === 'header' && this.#message.outbound) {
      const nul = data.indexOf(0);
      if (nul <= 0) return this.#violation('one of its header fields has no name');
      const end = data.length - (nul < data.length - 1 && data[data.length - 1] === 0 ? 1 : 0);
      keepField(this.#message, data, nul, end, (this.#steps & Step.leadingSpace) !== 0, this.#core.maxHeaderBytes);
    }
    return this.#silentOr(Step.silentHeader);
  }

  #endOfHeaders(): boolean {
    if (this.#stage === 'header') this.#headersOver();
    return this.#answerAt(Step.silentEndOfHeaders);
  }

  /** The header is complete: either the body is hashed from now on, or the message is decided. */
  #headersOver(): void {
    this.#message.keyringVersion = this.#core.keyrings.version;
    const decision = this.#decide();
    if (decision.kind === 'sign') {
      this.#message.signing = decision;
      this.#message.hasher = new BodyHasher([this.#core.signer.bodyCanonicalization]);
      this.#stage = 'body';
    } else {
      this.#message.answer = settle(this.#core, () => this.#label(), decision);
      this.#stage = 'decided';
    }
  }

  /** A frame that need not be answered is an occasion only at the end of the message. */
  #answerAt(bit: number): boolean {
    if ((this.#steps & bit) !== 0) return true;
    const { answer } = this.#message;
    return this.#stage === 'decided' && answer !== null ? this.#messageOver(answer) : this.#send(replyContinue);
  }

  #endOfBody(data: Buffer): boolean {
    if (this.#stage === 'header') this.#headersOver();
    if (this.#stage === 'decided' && this.#message.answer !== null) return this.#messageOver(this.#message.answer);
    if (this.#stage !== 'body') return this.#send(replyContinue);
    if (data.length > 0) this.#message.hasher?.update(data);
    // Once more where keyrings have changed while the body came: what is current signs.
    const { signing, keyringVersion } = this.#message;
    const isCurrent = signing !== null && keyringVersion === this.#core.keyrings.version;
    const decision = isCurrent ? signing : this.#decide();
    if (decision.kind !== 'sign') return this.#messageOver(settle(this.#core, () => this.#label(), decision));
    this.#stage = 'signing';
    // Never before this returns, so that the reader is paused when it is told to go on.
    queueMicrotask(() => void this.#sign(decision));
    return false;
  }

  async #sign(decision: SigningDecision): Promise<void> {
    const core = this.#core;
    const message = this.#message;
    const keys = decision.plans.length === 1 ? decision.plans[0]?.keys : decision.plans.flatMap((plan) => plan.keys);
    let fields: SignatureField[];
    try {
      const body = message.hasher?.finish() ?? { bytes: 0 };
      fields = await core.signer.sign(message.headers, body, keys ?? [], Math.floor(core.clock.now() / 1000));
    } catch (error) {
      if (this.#closed) return;
      const domain = decision.plans[0]?.entry.domain ?? '';
      core.log('error', `Signing for ${domain}: ${error instanceof Error ? error.message : String(error)}`);
      this.#messageOver(settle(this.#core, () => this.#label(), { kind: 'fail', because: 'signing-failed', domain }));
      this.#peer.resume();
      return;
    }
    if (this.#closed) return;
    const now = core.clock.now();
    for (const { key } of fields) core.metrics.sawSignature(key.domain, key.selector, now);
    core.metrics.counters.messages += 1;
    core.metrics.counters.signed += 1;
    core.log(
      'debug',
      () =>
        `${this.#label()}: signed by ${fields.map(({ key }) => `${key.selector}._domainkey.${key.domain}`).join(', ')}`,
    );
    this.#messageOver(signedReply(fields, this.#version, this.#steps));
    this.#peer.resume();
  }

  #decide(): Decision {
    const message = this.#message;
    if (!message.outbound) return { kind: 'pass', because: 'inbound', domain: null };
    const { keyrings, settings } = this.#core;
    const decision = decide(this.#envelope(), message.headers, fromDomains(message.headers), keyrings, settings);
    if (!message.overflow || decision.kind !== 'sign') return decision;
    return { kind: 'fail', because: 'header-too-large', domain: decision.plans[0]?.entry.domain ?? '' };
  }

  /** The message is decided, or was taken back by the MTA. */
  #messageOver(answer?: Buffer): boolean {
    this.#stage = 'idle';
    this.#message = noMessage;
    this.#user = null;
    if (answer !== undefined) this.#send(answer);
    if (!this.#draining) return true;
    this.#end();
    return false;
  }

  #envelope(): Envelope {
    return {
      clientAddress: this.#clientAddress,
      isLocal: this.#isLocal,
      user: this.#message.user,
      sender: this.#message.sender,
      daemonName: this.#daemonName,
    };
  }

  #forgetClient(): void {
    this.#clientAddress = null;
    this.#isLocal = false;
    this.#daemonName = null;
    this.#user = null;
  }

  #label(): string {
    return `${this.#message.queueId ?? 'message'} from ${this.#peer.name}`;
  }

  #silentOr(bit: number): boolean {
    return (this.#steps & bit) !== 0 || this.#send(replyContinue);
  }

  #send(data: Buffer): boolean {
    this.#peer.write(data);
    return true;
  }

  #violation(why: string): boolean {
    this.#core.metrics.counters.protocolErrors += 1;
    this.#core.log('warn', `Connection of ${this.#peer.name} closed: ${why}`);
    this.#end();
    return false;
  }

  #end(): void {
    this.closed();
    this.#peer.end();
  }
}
