/** Composes the image of the store's only record again, from its recipes: a process of its own, so that its memory shows. */
import { rmSync } from 'node:fs'
import { openStore } from '../../src/store/store.ts'
import { ensureImage } from '../../src/transfer/ensure-image.ts'

const [folder = '', name = ''] = process.argv.slice(2)
await using store = await openStore(folder)
const { record } = store.find(name)
const digest = record.images.default
if (digest === undefined) throw new Error(`no image was made of ${name}`)
rmSync(store.imagePath(digest))
await ensureImage(store, record)
