// node server.mjs FOLDER: @tus/server with its files in FOLDER; says its port.
import { FileStore } from '@tus/file-store';
import { Server } from '@tus/server';

const server = new Server({
  path: '/files',
  datastore: new FileStore({ directory: process.argv[2] }),
});
const listener = server.listen({ host: '127.0.0.1', port: 0 }, () => {
  console.log(listener.address().port);
});
