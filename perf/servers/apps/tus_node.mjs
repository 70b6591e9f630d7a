// node tus_node.mjs FOLDER PORT NOTES: @tus/server with its files in FOLDER, each by the
// name that its metadata gives, and what it notes of them in NOTES. A GET, which only
// asks whether it is there, gets the file.
import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setDefaultHighWaterMark } from 'node:stream';
import { FileConfigstore, FileStore } from '@tus/file-store';
import { Server } from '@tus/server';

// Of less, a body of 100 MiB costs a quarter more: more writes, and smaller ones.
setDefaultHighWaterMark(false, 1 << 20);

const [directory, port, notes] = process.argv.slice(2);
const tus = new Server({
  path: '/files',
  datastore: new FileStore({ directory, configstore: new FileConfigstore(notes) }),
  namingFunction: (_, metadata) => metadata.filename,
});

const listener = createServer((request, response) => {
  if (request.method !== 'GET') return tus.handle(request, response);
  const file = createReadStream(join(directory, request.url));
  file.on('error', () => response.writeHead(404).end());
  return file.pipe(response);
});
// Neither ends a connection that has no request, nor a body that takes long.
listener.keepAliveTimeout = 0;
listener.requestTimeout = 0;
listener.listen({ host: '127.0.0.1', port: Number(port), backlog: 16384 });
