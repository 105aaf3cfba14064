import { expect, it } from 'vitest';
import { formatPosition } from '../src/position.ts';
import { done, SubscriptionFixture, WEBHOOK } from './subscription-fixture.ts';

it('delivers new work, signed, and moves the cursor when the receiver is done', async () => {
  const node = await SubscriptionFixture.open();
  node.receiver.receive = done;
  await node.put('sub', WEBHOOK);
  await node.create('events/a');
  const tail = await node.append('events/a');
  await node.settle(100);
  expect(node.receiver.bodies).toMatchObject([
    {
      subscription_id: 'sub',
      generation: 1,
      streams: [
        {
          path: 'events/a',
          link_type: 'glob',
          acked_offset: formatPosition({ messages: 0, bytes: 0 }),
          tail_offset: formatPosition(tail),
          has_pending: true,
        },
      ],
      callback_url: 'https://node.example/sub/callback',
    },
  ]);
  expect(node.acked('sub', 'events/a')).toEqual(tail);
  await node.close();
});
