import { isUtf8 } from 'node:buffer'
import { pathToBytes } from '../../paths.ts'
import { blockBytes } from '../tar/tar-header.ts'
import { toGoJson } from '../toc-json/write-toc-json.ts'
import { Crc64 } from './crc64.ts'

/** Longest piece of what follows the end marker, which itself comes with the padding before it. */
const restBytes = 2 ** 20

/** Collects a tar-split while the tar goes by; read-tar-split.ts has the layout. */
export class TarSplitWriter {
  readonly #lines: Buffer[] = []
  #name = ''
  #size = 0
  #crc = new Crc64()

  /** @param name name as the header has it, one char per byte */
  header(framing: Buffer, name: string): void {
    this.#segment(framing)
    this.#name = name
    this.#size = 0
  }

  data(bytes: Uint8Array): void {
    if (this.#size === 0) this.#crc = new Crc64()
    this.#crc.update(bytes)
    this.#size += bytes.length
  }

  endEntry(): void {
    const name = pathToBytes(this.#name)
    this.#line({
      type: 1,
      ...(isUtf8(name) ? { name: name.toString() } : { name_raw: name.toString('base64') }),
      ...(this.#size === 0 ? { payload: null } : { size: this.#size, payload: this.#crc.digest().toString('base64') }),
      position: this.#lines.length,
    })
  }

  end(padding: Buffer, rest: Buffer): void {
    this.#segment(Buffer.concat([padding, rest.subarray(0, 2 * blockBytes)]))
    for (let at = 2 * blockBytes; at < rest.length; at += restBytes) this.#segment(rest.subarray(at, at + restBytes))
  }

  /** Returns the lines, one JSON object each. */
  finish(): Buffer {
    return Buffer.concat(this.#lines)
  }

  #segment(bytes: Buffer): void {
    if (bytes.length > 0) this.#line({ type: 2, payload: bytes.toString('base64'), position: this.#lines.length })
  }

  #line(value: object): void {
    this.#lines.push(Buffer.from(`${toGoJson(value)}\n`))
  }
}
