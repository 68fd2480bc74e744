// Typed messages in Bun, as they come: JSON.parse, JSON.stringify, and no validation.
Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response("Hello, world!\n");
  },
  websocket: {
    perMessageDeflate: false,
    message(ws, text) {
      const message = JSON.parse(text);
      switch (message.type) {
        case "Chat":
          ws.send(JSON.stringify({ type: "Said", user: "ada", content: message.content }));
          break;
        case "Join":
          ws.send(JSON.stringify({ type: "Joined", room: message.room }));
          break;
        case "Leave":
          ws.send(JSON.stringify({ type: "Left", room: message.room }));
          break;
      }
    },
  },
});
