import { openNode } from 'holdfast';

const node = await openNode({ dir: './data' }); // or { memory: true }
const settings = node.kv.store('settings');
const { version } = await settings.put('theme', Buffer.from('dark')); // resolves when it is on disk
await settings.put('theme', Buffer.from('light'), { ifVersion: version }); // or nothing happens
console.log(String(await settings.get('theme')));
await node.close();
