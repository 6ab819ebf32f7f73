/**
 * zlib and zstd, called directly on memory that threads share. Node's own streams cost a third more: a buffer
 * allocated, zeroed and collected for every chunk, and a trip through the event loop.
 *
 * Each library is looked for in this process first. Nearly every Node exports the copy it uses, one that is linked with
 * the system's libraries included. Where it is hidden, the copy of the system decodes in its place: any copy gives the
 * same bytes. An encoder's bytes depend on the copy, so encoders take none but Node's own.
 *
 * Loading koffi costs 14 ms, so that happens at the first use.
 */
import { createRequire } from 'node:module'
import type { LibraryHandle } from 'koffi'
import { OnefoldError } from '../error.ts'

export interface Zlib {
  readonly version: () => string
  readonly inflateInit2: (stream: Uint8Array, windowBits: number, version: string, size: number) => number
  readonly inflate: (stream: Uint8Array, flush: number) => number
  readonly inflateReset: (stream: Uint8Array) => number
  readonly inflateEnd: (stream: Uint8Array) => number
  readonly inflatePrime: (stream: Uint8Array, bits: number, value: number) => number
  readonly inflateSetDictionary: (stream: Uint8Array, window: Uint8Array, length: number) => number
  readonly deflateInit2: (
    stream: Uint8Array,
    level: number,
    method: number,
    windowBits: number,
    memLevel: number,
    strategy: number,
    version: string,
    size: number,
  ) => number
  readonly deflate: (stream: Uint8Array, flush: number) => number
  readonly deflateEnd: (stream: Uint8Array) => number
  readonly deflateSetHeader: (stream: Uint8Array, header: Uint8Array) => number
  readonly deflateSetDictionary: (stream: Uint8Array, dictionary: Uint8Array, length: number) => number
  readonly deflateTune: (stream: Uint8Array, good: number, lazy: number, nice: number, chain: number) => number
}

export interface Zstd {
  readonly isError: (code: number) => number
  readonly errorName: (code: number) => string
  readonly createDecoder: () => unknown
  readonly freeDecoder: (context: unknown) => number
  readonly setDecoder: (context: unknown, parameter: number, value: number) => number
  readonly decompress: (context: unknown, output: Uint8Array, input: Uint8Array) => number
  readonly createEncoder: () => unknown
  readonly freeEncoder: (context: unknown) => number
  readonly setEncoder: (context: unknown, parameter: number, value: number) => number
  readonly compress: (context: unknown, output: Uint8Array, room: number, input: Uint8Array, length: number) => number
}

type Koffi = typeof import('koffi')

let loaded: Koffi | undefined

function koffi(): Koffi {
  loaded ??= createRequire(import.meta.url)('koffi') as Koffi
  return loaded
}

/**
 * Returns the address of bytes, for structures that point to them; null where there are none. The caller keeps them
 * alive.
 */
export function addressOf(bytes: Uint8Array): bigint {
  return koffi().address(bytes)
}

/** Reads the C string at an address. */
export function textAt(address: bigint): string {
  return String(koffi().decode(address, 'char', -1))
}

/** Library of which there may be two copies, Node's own and the system's; each is bound when it is first asked for. */
export class NativeLibrary<Functions> {
  readonly #name: string
  readonly #file: string
  readonly #bind: (library: LibraryHandle) => Functions
  readonly #copies = new Map<string | null, Copy<Functions>>()

  constructor(name: string, file: string, bind: (library: LibraryHandle) => Functions) {
    this.#name = name
    this.#file = file
    this.#bind = bind
  }

  /** Returns the copy that Node itself uses, or undefined where this Node does not export it. */
  own(): Functions | undefined {
    return this.#copy(null).functions
  }

  /** Returns the copy that the system has, or undefined where it has none. */
  system(): Functions | undefined {
    return this.#copy(this.#file).functions
  }

  /** Returns either copy, for decoding. Throws UNSUPPORTED where there is none. */
  any(): Functions {
    const functions = this.own() ?? this.system()
    if (functions !== undefined) return functions
    const found = `this Node does not export its ${this.#name}, and the system has no ${this.#file}`
    throw new OnefoldError('UNSUPPORTED', `Cannot decompress: ${found}`, {
      cause: this.#copy(this.#file).failure,
      hint: `Install ${this.#file}, or run onefold with the Node that \`npm ci\` installs beside it.`,
    })
  }

  #copy(file: string | null): Copy<Functions> {
    const copy = this.#copies.get(file) ?? this.#open(file)
    this.#copies.set(file, copy)
    return copy
  }

  #open(file: string | null): Copy<Functions> {
    const { load } = koffi()
    try {
      // Deep: functions of the one copy must never call those of the other, which differ inside.
      return { functions: this.#bind(load(file, { deep: true })), failure: undefined }
    } catch (failure) {
      return { functions: undefined, failure }
    }
  }
}

interface Copy<Functions> {
  readonly functions: Functions | undefined
  readonly failure: unknown
}

export const nativeZlib = new NativeLibrary('zlib', 'libz.so.1', bindZlib)

export const nativeZstd = new NativeLibrary('zstd', 'libzstd.so.1', bindZstd)

function bindZlib(library: LibraryHandle): Zlib {
  return {
    version: library.func('const char *zlibVersion()'),
    inflateInit2: library.func('int inflateInit2_(void *stream, int windowBits, const char *version, int size)'),
    inflate: library.func('int inflate(void *stream, int flush)'),
    inflateReset: library.func('int inflateReset(void *stream)'),
    inflateEnd: library.func('int inflateEnd(void *stream)'),
    inflatePrime: library.func('int inflatePrime(void *stream, int bits, int value)'),
    inflateSetDictionary: library.func('int inflateSetDictionary(void *stream, void *window, unsigned int length)'),
    deflateInit2: library.func(
      'int deflateInit2_(void *stream, int level, int method, int windowBits, int memLevel, int strategy, const char *version, int size)',
    ),
    deflate: library.func('int deflate(void *stream, int flush)'),
    deflateEnd: library.func('int deflateEnd(void *stream)'),
    deflateSetHeader: library.func('int deflateSetHeader(void *stream, void *header)'),
    deflateSetDictionary: library.func('int deflateSetDictionary(void *stream, void *dictionary, unsigned int length)'),
    deflateTune: library.func('int deflateTune(void *stream, int good, int lazy, int nice, int chain)'),
  }
}

function bindZstd(library: LibraryHandle): Zstd {
  return {
    isError: library.func('unsigned int ZSTD_isError(size_t code)'),
    errorName: library.func('const char *ZSTD_getErrorName(size_t code)'),
    createDecoder: library.func('void *ZSTD_createDStream()'),
    freeDecoder: library.func('size_t ZSTD_freeDStream(void *context)'),
    setDecoder: library.func('size_t ZSTD_DCtx_setParameter(void *context, int parameter, int value)'),
    decompress: library.func('size_t ZSTD_decompressStream(void *context, void *output, void *input)'),
    createEncoder: library.func('void *ZSTD_createCCtx()'),
    freeEncoder: library.func('size_t ZSTD_freeCCtx(void *context)'),
    setEncoder: library.func('size_t ZSTD_CCtx_setParameter(void *context, int parameter, int value)'),
    compress: library.func(
      'size_t ZSTD_compress2(void *context, void *output, size_t room, void *input, size_t length)',
    ),
  }
}
