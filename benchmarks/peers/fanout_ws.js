// Fan-out with Node's `ws`: `node fanout_ws.js PORT`, the loop of its manual.
const { WebSocket, WebSocketServer } = require("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]) });
server.on("connection", (ws) => {
  ws.on("message", (data, binary) => {
    for (const client of server.clients) {
      if (client !== ws && client.readyState === WebSocket.OPEN) client.send(data, { binary });
    }
  });
});
