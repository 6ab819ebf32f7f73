import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { NativeLibrary, addressOf, nativeZlib, nativeZstd, textAt } from './native.ts'

function run(program: string, hide?: 'own' | 'system'): string {
  const preload = new URL('../../test/fixtures/hide-libraries.ts', import.meta.url).href
  return execFileSync(
    process.execPath,
    [...(hide === undefined ? [] : ['--import', preload]), '--input-type=module', '-e', program],
    { encoding: 'utf8', env: { ...process.env, ONEFOLD_TEST_HIDE: hide }, cwd: import.meta.dirname },
  )
}

test('nothing is loaded before the first use', () => {
  const output = run(`
    import { createRequire } from 'node:module'
    const { decoderFor } = await import('./decoder-of.ts')
    await import('./member-encoder.ts')
    await import('./deflate-block.ts')
    const koffi = () => Object.keys(createRequire(process.cwd() + '/x').cache).some((path) => path.includes('koffi'))
    decoderFor(Buffer.from('a tar'), 27)
    const before = koffi()
    decoderFor(Buffer.from('1f8b08', 'hex'), 27)
    console.log(before, koffi())`)
  assert.equal(output, 'false true\n')
})

test('Node has its own zlib and zstd, of the versions that it tells', () => {
  assert.ok(process.versions.zlib.startsWith(String(nativeZlib.own()?.version())))
  assert.notEqual(nativeZstd.own(), undefined)
  assert.equal(nativeZlib.any(), nativeZlib.own())
  assert.equal(nativeZstd.any(), nativeZstd.own())
})

test('a library is bound once', () => {
  let bound = 0
  const library = new NativeLibrary('test', 'libtest.so.1', () => ++bound)
  assert.deepEqual([library.own(), library.own(), library.any(), library.system(), bound], [1, 1, 1, undefined, 1])
})

test('a library that is nowhere is told by name', () => {
  const library = new NativeLibrary('test', 'libtest.so.1', (handle) =>
    handle.func('int onefold_has_no_such_function()'),
  )
  assert.throws(() => library.any(), {
    code: 'UNSUPPORTED',
    message: 'Cannot decompress: this Node does not export its test, and the system has no libtest.so.1',
  })
})

const whatThereIs = `
  const { nativeZlib, nativeZstd } = await import('./native.ts')
  const { memberEncoder } = await import('./member-encoder.ts')
  const { deflateBlock } = await import('./deflate-block.ts')
  const named = (action) => { try { return action() } catch ({ code }) { return code } }
  console.log([nativeZlib, nativeZstd].map((library) => library.own() !== undefined).join())
  console.log([nativeZlib, nativeZstd].map((library) => named(() => typeof library.any().isError + typeof library.any().inflate)).join())
  console.log(['gzip', 'zstd'].map((coding) => memberEncoder(coding, 6).constructor.name).join())
  console.log(named(() => deflateBlock(Buffer.from('x'), new Uint8Array(0), true, new Uint8Array(2000)) > 0))`

test('where Node exports its libraries, they do everything', () => {
  const expected = ['true,true', 'undefinedfunction,functionundefined', 'GzipEncoder,ZstdEncoder', 'true', '']
  assert.deepEqual(run(whatThereIs).split('\n'), expected)
})

test(
  "where Node hides them, the system's decode, node:zlib makes members, and blocks are refused",
  {
    skip:
      (nativeZlib.system() === undefined || nativeZstd.system() === undefined) && 'the system has no libz or libzstd',
  },
  () => {
    const expected = [
      'false,false',
      'undefinedfunction,functionundefined',
      'NodeGzipEncoder,NodeZstdEncoder',
      'UNSUPPORTED',
      '',
    ]
    assert.deepEqual(run(whatThereIs, 'own').split('\n'), expected)
  },
)

test('where there are none at all, decoding is refused', () => {
  const expected = ['false,false', 'UNSUPPORTED,UNSUPPORTED', 'NodeGzipEncoder,NodeZstdEncoder', 'UNSUPPORTED', '']
  assert.deepEqual(run(whatThereIs, 'system').split('\n'), expected)
})

test('strings are read from where they lie', () => {
  assert.equal(addressOf(new Uint8Array(0)), 0n)
  const bytes = Buffer.alloc(100, 'text\0more\0')
  assert.equal(textAt(addressOf(bytes)), 'text')
})
