import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { formatNames, loadAttachable, loadFormat, loadFormats, loadWritable, ownFiles } from './all.ts'
import { inlineMax } from './entry.ts'
import { writerOptions } from './format.ts'

const formats = await loadFormats()

describe('the list of formats', () => {
  test('names them as they name themselves', () => {
    assert.deepEqual(
      formats.map(({ name }) => name),
      formatNames,
    )
  })

  test('has no two with the title or the purpose of one', () => {
    for (const key of ['title', 'about'] as const)
      assert.equal(new Set(formats.map((each) => each[key])).size, formats.length)
  })

  test('knows nothing by another name', async () => {
    assert.equal(await loadFormat('constructor'), undefined)
    for (const name of formatNames) assert.equal((await loadFormat(name))?.name, name)
  })

  for (const { name, index, writer, attacher, file } of formats)
    test(`${name} can do something, and what it declares can be loaded`, async () => {
      const parts = [index, writer, attacher, file].filter((part) => part !== undefined)
      assert.ok(parts.length > 0)
      for (const part of parts) assert.ok((await part.load()) !== undefined)
    })

  test('means one thing by an option, whatever format has it', async () => {
    const writers = (await loadWritable()).map(({ writer }) => writer.options)
    const attachers = (await loadAttachable()).map(({ attacher }) => attacher.options)
    const said = new Map<string, unknown>()
    for (const options of [...writers, ...attachers])
      for (const [name, spec] of Object.entries(options)) {
        assert.deepEqual(spec, said.get(name) ?? spec, name)
        said.set(name, spec)
      }
  })

  test('has a level where something is compressed', async () => {
    for (const { name, writer } of await loadWritable())
      assert.equal('level' in writerOptions(writer), writer.coding !== 'none', name)
  })

  test('tells own files by landmarks that are kept inline', () => {
    for (const { names, landmarks, landmark } of ownFiles) {
      assert.ok(landmarks.length > 0 && landmarks.every((name) => names.includes(name)))
      assert.ok(landmark.length > 0 && landmark.length <= inlineMax)
    }
  })
})
