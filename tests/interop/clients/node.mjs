// Reads calls from stdin, one JSON array [name, ...arguments] a line; writes their results.

import { createRequire } from "node:module"
import { createInterface } from "node:readline"
import { peer } from "./peer.mjs"

const { WebSocket } = createRequire(process.argv[2])("ws")
let ws, calls

const open = async (url, protocols, options) => {
  ws = new WebSocket(url, protocols, options)
  calls = await peer(ws)
  return calls.info()
}
const ping = () => new Promise((resolve) => {
  ws.once("pong", (data) => resolve(data.toString()))
  ws.ping("payload")
})

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...args] = JSON.parse(line)
  const value = await ({ open, ping, ...calls })[name](...args)
  process.stdout.write(JSON.stringify(value ?? null) + "\n")
}
