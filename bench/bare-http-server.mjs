// The speed of light of an HTTP append on Node: `node:http` that takes a body and answers 204.
import http from 'node:http';

const server = http.createServer((request, response) => {
  request
    .on('data', () => undefined)
    .on('end', () => {
      response.writeHead(204);
      response.end();
    });
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`);
});
