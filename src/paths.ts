/**
 * Conversion between bytes, text and paths. Linux takes any bytes but NUL and `/` in a name, so inside a path
 * (or a name, or the target of a symlink) is a string with one char per byte: no name is lost, and strings compare as
 * bytes do. People, JSON and Node's own functions speak UTF-8; whatever comes from there or goes there passes here.
 */

/** Returns the path that `text` names: what somebody typed, or a document said. */
export function pathFromUtf8(text: string): string {
  return Buffer.from(text).toString('latin1')
}

/** Returns the text to show for a path, or to give to what takes text alone. Bytes that are not UTF-8 become U+FFFD. */
export function pathToUtf8(path: string): string {
  return Buffer.from(path, 'latin1').toString()
}

/** Returns the path that these bytes are. */
export function pathFromBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}

/** Returns the bytes of a path, as functions of `node:fs` take them. */
export function pathToBytes(path: string): Buffer {
  return Buffer.from(path, 'latin1')
}
