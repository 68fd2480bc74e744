// Bun's fan-out: `bun fanout_bun.js PORT`; whatever a client sends, all others get.
Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response("Hello, world!\n");
  },
  websocket: {
    perMessageDeflate: false,
    open(ws) {
      ws.subscribe("room");
    },
    message(ws, message) {
      ws.publish("room", message);
    },
  },
});
