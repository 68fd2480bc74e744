// Deno's echo: `deno run --allow-net echo_deno.js PORT`. It never compresses.
Deno.serve({ hostname: "127.0.0.1", port: Number(Deno.args[0]), onListen() {} }, (request) => {
  if (request.headers.get("upgrade") !== "websocket") return new Response("Hello, world!\n");
  const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
  socket.onmessage = (event) => socket.send(event.data);
  return response;
});
