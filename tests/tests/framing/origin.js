// An origin with another parser: records each head that it parses, and tells them at /seen.
"use strict";

const http = require("node:http");

const seen = [];
const server = http.createServer({ insecureHTTPParser: true }, (request, response) => {
  seen.push([0, `${request.method} ${request.url} HTTP/${request.httpVersion}`]);
  request.resume();
  request.on("end", () => {
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(seen));
  });
});

server.listen(Number(process.env.PORT), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
