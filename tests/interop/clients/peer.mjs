// A WebSocket, of a browser or of Node's `ws`, as calls that return promises and take JSON.

const encode = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))
const decode = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))

export async function peer(ws) {
  const messages = []
  let news = () => {}
  let isClosed = false
  ws.binaryType = "arraybuffer"
  ws.onmessage = ({ data }) => {
    messages.push(typeof data === "string" ? { text: data } : { base64: encode(new Uint8Array(data)) })
    news()
  }
  const closed = new Promise((resolve) => {
    ws.onclose = ({ code, reason }) => {
      isClosed = true
      resolve({ code, reason })
      news()
    }
  })
  await new Promise((resolve, reject) => {
    ws.onopen = resolve
    ws.onerror = (event) => reject(new Error(event.message ?? "it did not open"))
  })
  return {
    info: () => ({ protocol: ws.protocol, extensions: ws.extensions }),
    send: ({ text, base64 }) => ws.send(text ?? decode(base64)),
    receive: async () => {
      while (messages.length === 0) {
        if (isClosed) throw new Error("it is closed, so nothing more comes")
        await new Promise((resolve) => { news = resolve })
      }
      return messages.shift()
    },
    close: (code, reason) => {
      ws.close(code, reason)
      return closed
    },
    closed: () => closed,
  }
}
