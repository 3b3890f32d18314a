import { expect, test } from 'vitest';
import { createCoalescer } from './coalesce.ts';

test('what is asked together is asked once, what comes later goes into the next question', async () => {
  const questions: string[][] = [];
  const gate = Promise.withResolvers<void>();
  const ask = createCoalescer(async (names) => {
    questions.push([...names]);
    if (questions.length === 1) await gate.promise;
    return new Map(names.filter((n) => n !== 'none').map((n) => [n, n.toUpperCase()]));
  });
  const first = Promise.all([ask('a'), ask('b'), ask('a')]);
  await new Promise((resolve) => setImmediate(resolve));
  const second = Promise.all([ask('a'), ask('none')]);
  gate.resolve();
  expect(await first).toStrictEqual(['A', 'B', 'A']);
  expect(await second).toStrictEqual(['A', null]);
  expect(questions).toStrictEqual([
    ['a', 'b'],
    ['a', 'none'],
  ]);
});

test('one that fails takes no other with it', async () => {
  const ask = createCoalescer(async (names) => {
    if (names.includes('bad')) throw new Error('bad cannot be read');
    return new Map(names.map((n) => [n, n]));
  });
  const answers = await Promise.allSettled([ask('a'), ask('bad'), ask('b')]);
  expect(answers.map((a) => (a.status === 'fulfilled' ? a.value : 'failed'))).toStrictEqual(['a', 'failed', 'b']);
});
