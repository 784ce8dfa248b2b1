// A server that answers POST with the body's SHA-256 and GET with a pong; or a client of nginx. Arguments: server|client HOST PORT.
'use strict';
const crypto = require('crypto');
const http = require('http');
const [role, host, port] = process.argv.slice(2);

function serve() {
  http.createServer((request, response) => {
    if (request.method === 'GET') {
      response.end('pong\n');
      return;
    }
    const hash = crypto.createHash('sha256');
    request.on('data', (data) => hash.update(data));
    request.on('end', () => response.end(hash.digest('hex') + '\n'));
  }).listen(Number(port), host);
}

const agent = new http.Agent({keepAlive: true, maxSockets: 20});
function get(path) {
  return new Promise((resolve, reject) => {
    http.get({host, port, path, agent}, (response) => {
      const parts = [];
      response.on('data', (data) => parts.push(data));
      response.on('end', () => resolve(Buffer.concat(parts)));
    }).on('error', reject);
  });
}

async function load() {
  const large = await get('/large');
  console.log('large', crypto.createHash('sha256').update(large).digest('hex'));
  const answers = await Promise.all(Array.from({length: 500}, () => get('/ping')));
  console.log('pongs', answers.filter((answer) => answer.toString() === 'pong\n').length);
  agent.destroy();
}

if (role === 'server') serve(); else load();
