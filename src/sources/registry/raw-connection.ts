import type { Agent } from 'node:http'
import type { OnReadOpts, Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { ResponseBody } from './response-body.ts'

/**
 * Connection for node:http whose body can be read around it. Node allocates 64 KiB for every read of a socket and
 * frees it again, which costs four times what reading costs. So this reads into one buffer for all connections; heads
 * are copied for the parser of node:http, and the body goes from there straight into the buffers of its reader.
 *
 *     network → shared ─┬→ head, and bodies nobody took → node:http
 *                       └→ a body that was taken (known length) → RawBody → reader
 *
 * The parser never learns that the body has come, so a connection whose body was taken is closed after it.
 */
export class RawConnection extends Duplex {
  #socket: Socket | undefined
  #state: 'pass' | 'head' | 'decide' | 'raw' = 'pass'
  /** Bytes that have come and were not passed on yet. */
  #held: Uint8Array = none
  #body: RawBody | undefined

  constructor() {
    super({ allowHalfOpen: false })
  }

  attach(socket: Socket): this {
    this.#socket = socket
    let ended = false
    socket.on('end', () => {
      ended = true
      if (this.#body === undefined) this.push(null)
      else this.destroy()
    })
    socket.on('error', (error) => this.destroy(error))
    // After an orderly end there may still be bytes here that node:http has not read.
    socket.on('close', () => ended || this.destroy())
    return this
  }

  /** Passes only the head of the next answer on; the bytes after it wait for takeBody() or passBody(). */
  holdBody(): void {
    this.#state = 'head'
    this.receive(none)
  }

  takeBody(length: number): ResponseBody {
    this.#state = 'raw'
    const body = new RawBody(this, length)
    this.#body = body
    this.receive(none)
    return body
  }

  passBody(): void {
    this.#state = 'pass'
    this.receive(none)
  }

  /** Takes bytes that came; they are only lent. Returns false when the connection should wait. */
  receive(bytes: Uint8Array): boolean {
    const all = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes])
    this.#held = none
    switch (this.#state) {
      case 'raw':
        return this.#body?.fill(all) ?? true
      case 'pass':
        return all.length === 0 || this.push(Buffer.from(all))
      case 'head':
        return this.#passHead(all)
      case 'decide':
        this.#held = Buffer.from(all)
        return all.length < headMax
    }
  }

  resumeSocket(): void {
    this.#socket?.resume()
  }

  #passHead(bytes: Uint8Array): boolean {
    const end = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf('\r\n\r\n')
    if (end < 0 && bytes.length < headMax) {
      this.#held = Buffer.from(bytes)
      return true
    }
    // A head that is too long is the parser's to refuse.
    const length = end < 0 ? bytes.length : end + 4
    this.#state = end < 0 ? 'pass' : 'decide'
    this.#held = Buffer.from(bytes.subarray(length))
    return this.push(Buffer.from(bytes.subarray(0, length)))
  }

  override _read(): void {
    this.#socket?.resume()
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#socket === undefined) done(new Error('not attached'))
    else this.#socket.write(chunk, done)
  }

  override _final(done: () => void): void {
    this.#socket?.end()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket?.destroy()
    this.#body?.close()
    done(error)
  }

  // What node:http asks of a socket besides being a stream.

  setKeepAlive(enable: boolean, delay: number): this {
    this.#socket?.setKeepAlive(enable, delay)
    return this
  }

  setNoDelay(enable: boolean): this {
    this.#socket?.setNoDelay(enable)
    return this
  }

  setTimeout(milliseconds: number): this {
    this.#socket?.setTimeout(milliseconds)
    return this
  }

  ref(): this {
    this.#socket?.ref()
    return this
  }

  unref(): this {
    this.#socket?.unref()
    return this
  }
}

/** Body of known length in two buffers that take turns: a chunk is the reader's until it takes the next. */
class RawBody implements ResponseBody {
  state: ResponseBody['state'] = 'open'
  notify = (): void => undefined
  readonly #connection: RawConnection
  #remaining: number
  #filling = emptyBuffer(bufferSize)
  #spare: Buffer | undefined
  #used = 0
  #full = false

  constructor(connection: RawConnection, length: number) {
    this.#connection = connection
    this.#remaining = length
    if (length === 0) this.state = 'ended'
  }

  /**
   * Takes bytes; returns false when the connection should wait. TLS goes on for a while after it was told to wait, so
   * the buffer grows where it must.
   */
  fill(bytes: Uint8Array): boolean {
    const taken = bytes.subarray(0, this.#remaining)
    if (this.#used + taken.length > this.#filling.length) this.#grow(this.#used + taken.length)
    this.#filling.set(taken, this.#used)
    this.#used += taken.length
    this.#remaining -= taken.length
    if (this.#remaining === 0 && this.state === 'open') {
      this.state = 'ended'
      this.#connection.destroy()
    }
    if (this.#used > 0 || this.state === 'ended') this.notify()
    this.#full = this.#used > this.#filling.length - shared.length
    return !this.#full
  }

  take(): Uint8Array | undefined {
    if (this.#used === 0) return undefined
    const chunk = this.#filling.subarray(0, this.#used)
    const next = this.#spare ?? emptyBuffer(bufferSize)
    this.#spare = this.#filling
    this.#filling = next
    this.#used = 0
    if (this.#full) this.#connection.resumeSocket()
    this.#full = false
    return chunk
  }

  drop(): void {
    this.#connection.destroy()
  }

  close(): void {
    if (this.state === 'open') this.state = 'broken'
    this.notify()
  }

  #grow(size: number): void {
    const larger = emptyBuffer(size + bufferSize)
    larger.set(this.#filling.subarray(0, this.#used))
    this.#filling = larger
  }
}

const none = new Uint8Array(0)
const headMax = 64 * 1024
const bufferSize = 512 * 1024
/** Buffer that every read of every connection goes into. Its bytes are copied before anything else can happen. */
const shared = emptyBuffer(256 * 1024)

function emptyBuffer(size: number): Buffer {
  return Buffer.allocUnsafeSlow(size)
}

/**
 * Makes an agent connect in this way. It is not for one with a proxy: its tunnel would be built through the same
 * connection.
 */
export function useRawConnections(agent: Agent): void {
  type Connect = (options: object, done: (error: Error | null, socket: Duplex) => void) => Duplex | null | undefined
  const connect: Connect = agent.createConnection.bind(agent)
  const connectRaw: Connect = (options, done) => {
    const connection = new RawConnection()
    const receive = (length: number, buffer: Uint8Array): boolean => connection.receive(buffer.subarray(0, length))
    const onread: OnReadOpts = { buffer: shared, callback: receive }
    const socket = connect({ ...options, onread }, done)
    return socket === null || socket === undefined ? socket : connection.attach(socket as Socket)
  }
  agent.createConnection = connectRaw
}
