import { openNode } from 'holdfast';

const node = await openNode({ dir: './data' }); // or { memory: true }
const chat = await node.streams.open('chat/1', { contentType: 'application/json' });
await chat.append({ text: 'hello' }); // resolves when it is on disk
for await (const message of chat.read({ live: true })) console.log(message);
