import assert from 'node:assert/strict'
import { type Server, type Socket, createServer } from 'node:net'
import { test } from 'node:test'
import { noise } from '../../../test/servers/registry.ts'
import { OnefoldError } from '../../error.ts'
import { bodyChunks } from './response-body.ts'
import { Transport } from './transport.ts'

const body = noise(1_200_000)
const head = `HTTP/1.1 200 OK\r\nX-Test: yes\r\nContent-Length: ${body.length}\r\n\r\n`
const options = { action: 'read', stallTimeout: 5000 }

/** A server that answers each request on a connection with `answer`, which writes what it likes. */
async function serving(answer: (socket: Socket) => void): Promise<AsyncDisposable & { url: URL; connections: number }> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    self.connections += 1
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      if (bytes.toString('latin1').endsWith('\r\n\r\n')) answer(socket)
    })
  })
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
  })
  const self = {
    url: new URL(`http://127.0.0.1:${port}/x`),
    connections: 0,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
  return self
}

async function read(transport: Transport, url: URL, lent = true): Promise<{ bytes: Buffer; chunks: number }> {
  const response = await transport.send({ method: 'GET', url, headers: {}, action: 'read', lent })
  const chunks: Uint8Array[] = []
  for await (const chunk of bodyChunks(response.body, options)) chunks.push(Buffer.from(chunk))
  return { bytes: Buffer.concat(chunks), chunks: chunks.length }
}

const answers: readonly [name: string, pieces: readonly (string | Uint8Array)[]][] = [
  ['head and body at once', [Buffer.concat([Buffer.from(head), body])]],
  ['the head alone', [head, body]],
  ['the head in pieces', [head.slice(0, 5), head.slice(5, -3), head.slice(-3, -1), head.slice(-1), body]],
  ['the head with a byte of body', [`${head}${body.toString('latin1', 0, 1)}`, body.subarray(1)]],
  ['early hints before', ['HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n', head, body]],
  ['early hints at once', [`HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${head}`, body]],
  ['100 and hints', [`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n${head}`, body]],
  ['more than was announced', [head, body, 'more']],
  ['line feeds alone', [`HTTP/1.1 200 OK\nContent-Length: ${body.length}\r\n\r\n`, body]],
]

for (const [name, pieces] of answers)
  test(`a lent body arrives whole: ${name}`, async () => {
    await using server = await serving((socket) => void writeSlowly(socket, pieces))
    await using transport = new Transport({ env: {} })
    const run = read(transport, server.url)
    if (name === 'line feeds alone') return assert.rejects(run, OnefoldError)
    return assert.deepEqual((await run).bytes, body)
  })

async function writeSlowly(socket: Socket, pieces: readonly (string | Uint8Array)[]): Promise<void> {
  for (const piece of pieces) {
    socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test('a head that is too long is refused', async () => {
  await using server = await serving((socket) => void socket.write(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(200_000)}`))
  await using transport = new Transport({ env: {} })
  await assert.rejects(read(transport, server.url), /broke \(HPE_HEADER_OVERFLOW\)/)
})

test('what is no HTTP is refused', async () => {
  await using server = await serving((socket) => void socket.write(`SSH-2.0\r\n\r\n${'x'.repeat(100)}`))
  await using transport = new Transport({ env: {} })
  await assert.rejects(read(transport, server.url), /broke \(HPE_INVALID_CONSTANT\)/)
})

test('a chunked body is not lent, and arrives whole', async () => {
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'
  await using server = await serving((socket) => void socket.write(chunked))
  await using transport = new Transport({ env: {} })
  assert.equal((await read(transport, server.url)).bytes.toString(), 'hello')
  assert.equal((await read(transport, server.url)).bytes.toString(), 'hello')
  assert.equal(server.connections, 1)
})

test('a short body is not lent, and its connection is used again', async () => {
  await using server = await serving((socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'))
  await using transport = new Transport({ env: {} })
  for (const lent of [true, false, true, true])
    assert.equal((await read(transport, server.url, lent)).bytes.toString(), 'hello')
  assert.equal(server.connections, 1)
})

test('a connection closed while nobody used it is replaced without a failure', async () => {
  const once = (socket: Socket): void => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello')
    setTimeout(() => socket.resetAndDestroy(), 20)
  }
  await using server = await serving(once)
  await using transport = new Transport({ env: {} })
  for (let round = 0; round < 3; round++) {
    assert.equal((await read(transport, server.url)).bytes.toString(), 'hello')
    await new Promise((resolve) => setTimeout(resolve, 18 + round))
  }
  assert.ok(server.connections >= 2)
})

test('a slow reader holds the connection back and loses nothing', async () => {
  const large = noise(4_000_000, 7)
  const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${large.length}\r\n\r\n`
  await using server = await serving((socket) => void socket.write(Buffer.concat([Buffer.from(answer), large])))
  await using transport = new Transport({ env: {} })
  const { url } = server
  const response = await transport.send({ method: 'GET', url, headers: {}, action: 'read', lent: true })
  let at = 0
  for await (const chunk of bodyChunks(response.body, options)) {
    if (at % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 3))
    // Lent until the next one is asked for, whatever has come in meanwhile.
    assert.ok(large.subarray(at, at + chunk.length).equals(chunk))
    at += chunk.length
    assert.ok(chunk.length <= 1024 * 1024)
  }
  assert.equal(at, large.length)
})

test('a given body is read to its end after the server has closed', async () => {
  const large = noise(4_000_000, 8)
  const answer = 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n'
  await using server = await serving((socket) => void socket.end(Buffer.concat([Buffer.from(answer), large])))
  await using transport = new Transport({ env: {} })
  const response = await transport.send({ method: 'GET', url: server.url, headers: {}, action: 'read' })
  let at = 0
  for await (const chunk of bodyChunks(response.body, options)) {
    if (at % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 3))
    assert.ok(large.subarray(at, at + chunk.length).equals(chunk))
    at += chunk.length
  }
  assert.equal(at, large.length)
})

test('many bodies at once do not mix', async () => {
  await using server = await serving((socket) => void socket.write(Buffer.concat([Buffer.from(head), body])))
  await using transport = new Transport({ env: {} })
  const all = await Promise.all(Array.from({ length: 12 }, () => read(transport, server.url)))
  for (const { bytes } of all) assert.ok(bytes.equals(body))
})
