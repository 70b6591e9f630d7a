// node upload.mjs OPTIONS: one upload by tus-js-client; says what came of it, as JSON.
//
// OPTIONS is JSON: file, url, token, name, stopAt (bytes, then abort), resume (the URL
// of an upload to go on with), readable (a stream of unknown length), and what
// tus-js-client itself takes.
import { createReadStream, readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import * as tus from 'tus-js-client';

const { file, url, token, name, stopAt, resume, readable, ...options } = JSON.parse(
  process.argv[2],
);
const content = readFileSync(file);
const source = readable ? Readable.from(pieces(content)) : createReadStream(file);
const requests = [];

function* pieces(bytes) {
  for (let at = 0; at < bytes.length; at += 10000) yield bytes.subarray(at, at + 10000);
}

function say(result) {
  console.log(JSON.stringify({ url: upload.url, requests, ...result }));
  process.exit(0);
}

const upload = new tus.Upload(source, {
  endpoint: url,
  uploadUrl: resume,
  headers: { Authorization: `Bearer ${token}` },
  metadata: { filename: name },
  retryDelays: [0, 100, 100, 200, 500, 500, 500, 1000, 1000],
  onAfterResponse: (request, response) => {
    requests.push(`${request.getMethod()} ${response.getStatus()}`);
  },
  onError: (error) => say({ error: String(error) }),
  onSuccess: () => say({ done: true }),
  onChunkComplete: (_, accepted) => {
    if (stopAt && accepted >= stopAt) {
      upload.abort().then(() => say({ accepted }));
    }
  },
  ...options,
});
upload.start();
