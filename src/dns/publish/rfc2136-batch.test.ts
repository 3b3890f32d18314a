import { describe, expect, it } from 'vitest';
import { createMessage, type Message, txtData } from '../wire/message.ts';
import { createUpdateBatch } from './rfc2136-batch.ts';

const update = (name: string, value = 'v'): Message =>
  createMessage({
    opcode: 'UPDATE',
    questions: [{ name: 'example.com', type: 'SOA', class: 'IN' }],
    answers: [{ name, type: 'TXT', class: 'NONE', ttl: 0, data: { kind: 'EMPTY' } }],
    authorities: [{ name, type: 'TXT', class: 'IN', ttl: 60, data: txtData(value) }],
  });
const namesOf = ({ authorities }: Message): string[] => authorities.map(({ name }) => name);

/** Answers when told to; refuses a message that holds one of these names. */
function server(refusing: readonly string[] = []) {
  const sent: string[][] = [];
  return {
    sent,
    async send(message: Message): Promise<'done' | 'refused'> {
      sent.push(namesOf(message));
      await new Promise((resolve) => setTimeout(resolve, 5));
      return namesOf(message).some((name) => refusing.includes(name)) ? 'refused' : 'done';
    },
    isRefusal: (answer: string) => answer === 'refused',
  };
}

describe('updates that come together', () => {
  it('share a message, with the prerequisites of each, and what comes meanwhile makes up the next', async () => {
    const { sent, ...to } = server();
    const batch = createUpdateBatch(to);
    const first = ['a', 'b', 'c'].map((name) => batch.submit(name, update(name)));
    await first[0];
    const second = ['d', 'e'].map((name) => batch.submit(name, update(name)));
    expect(await Promise.all([...first, ...second])).toEqual(Array(5).fill('done'));
    expect(sent).toEqual([
      ['a', 'b', 'c'],
      ['d', 'e'],
    ]);
  });

  it('are sent one by one where one is refused: only it is held up', async () => {
    const { sent, ...to } = server(['b']);
    const batch = createUpdateBatch(to);
    const all = await Promise.all(['a', 'b', 'c'].map((name) => batch.submit(name, update(name))));
    expect(all).toEqual(['done', 'refused', 'done']);
    expect(sent).toEqual([['a', 'b', 'c'], ['a'], ['b'], ['c']]);
  });

  it('never hold one name twice, nor more than fit', async () => {
    const { sent, ...to } = server();
    const batch = createUpdateBatch({ ...to, most: 3 });
    const long = 'x'.repeat(20_000);
    await Promise.all([
      batch.submit('a', update('a')),
      batch.submit('a', update('a', 'later')),
      batch.submit('b', update('b', long)),
      batch.submit('c', update('c', long)),
      batch.submit('d', update('d')),
    ]);
    expect(sent).toEqual([
      ['a', 'b', 'd'],
      ['a', 'c'],
    ]);
  });

  it('leave out what was called off, and share the failure of the message', async () => {
    const off = new AbortController();
    const sent: string[][] = [];
    const batch = createUpdateBatch({
      send: async (message) => {
        sent.push(namesOf(message));
        throw new Error('the server is gone');
      },
      isRefusal: () => false,
    });
    const results = [
      batch.submit('a', update('a')),
      batch.submit('b', update('b'), off.signal),
      batch.submit('c', update('c')),
    ];
    off.abort(new Error('no longer wanted'));
    const settled = await Promise.allSettled(results);
    expect(settled.map((result) => (result.status === 'rejected' ? String(result.reason) : ''))).toEqual([
      'Error: the server is gone',
      'Error: no longer wanted',
      'Error: the server is gone',
    ]);
    expect(sent).toEqual([['a', 'c']]);
  });
});
