import assert from 'node:assert/strict'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { describe, test } from 'node:test'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { StagedImage } from './staged-image.ts'

describe('an image that is staged', () => {
  test('is what was written, to be read by all and written by none', () => {
    using folder = scratch('image')
    {
      using image = new StagedImage(folder.at('image-0'))
      image.write(Buffer.from('one '))
      image.write(Buffer.from('two'))
      image.finish(folder.at('name'))
    }
    assert.deepEqual(readdirSync(folder.path), ['name'])
    assert.equal(readFileSync(folder.at('name'), 'latin1'), 'one two')
    assert.equal(statSync(folder.at('name')).mode & 0o7777, 0o444)
  })

  test('is gone when it was not finished', () => {
    using folder = scratch('image')
    {
      using image = new StagedImage(folder.at('image-0'))
      image.write(Buffer.from('half'))
    }
    assert.deepEqual(readdirSync(folder.path), [])
    assert.throws(() => new StagedImage(folder.at('none', 'image-0')), { code: 'NOT_FOUND' })
  })
})
