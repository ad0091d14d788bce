// A function in Node.js, with nothing but its own modules: answers on $PORT until SIGTERM.
"use strict";

const http = require("node:http");

const revision = process.env.K_REVISION ?? "no revision";
const server = http.createServer((request, response) => {
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end(`Hello from Node.js, ${revision}\n`);
});

server.listen(Number(process.env.PORT ?? 8080), "127.0.0.1");
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
