// The echo of Node's `ws`: `node echo_ws.js PORT`. Compression is off by default.
const { WebSocketServer } = require("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]) });
server.on("connection", (ws) => {
  ws.on("message", (data, binary) => ws.send(data, { binary }));
});
