import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { open, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { constants, createGunzip, gzip, zstdCompress } from 'node:zlib'
import { promisify } from 'node:util'
import { hexOf, parseDigest } from '../src/digest.ts'
import type { Descriptor } from '../src/formats/oci/descriptor.ts'
import { writeEstargz } from '../src/formats/estargz/write-estargz.ts'
import { mediaTypes } from '../src/formats/oci/media-types.ts'
import type { TableFacts } from '../src/formats/toc-json/toc-written.ts'
import { writeZstdChunked } from '../src/formats/zstd-chunked/write-chunked.ts'
import { type BuiltImage, layout } from './build.ts'
import { benchFolder } from './images.ts'
import { type LayerBlob, Layout } from './layout.ts'

/** Formats with a table of contents that layers are written in again. */
export type Recoding = 'zstd-chunked' | 'estargz'

const zstdAsync = promisify(zstdCompress)
const gzipAsync = promisify(gzip)
/** What containers/storage takes. */
const params = { [constants.ZSTD_c_compressionLevel]: 10 }

/** The image with its layers in another format, under the tag `NAME-FORMAT`; from an earlier run where it is there. */
export async function recode(image: BuiltImage, format: Recoding): Promise<string> {
  const layers: LayerBlob[] = []
  for (const layer of image.layers) layers.push(await recodeLayer(layer, format))
  const tag = `${image.name}-${format}`
  new Layout(layout).addImage(tag, layers)
  return tag
}

async function recodeLayer({ blob, tarSize }: LayerBlob, format: Recoding): Promise<LayerBlob> {
  const notes = join(benchFolder, 'layers', `${hexOf(blob.digest)}-${format}-10.json`)
  if (existsSync(notes)) return JSON.parse(await readFile(notes, 'utf8')) as LayerBlob
  const tar = createReadStream(join(layout, 'blobs/sha256', hexOf(blob.digest))).pipe(createGunzip())
  const writer =
    format === 'estargz'
      ? writeEstargz(tar, { compress: (bytes) => gzipAsync(bytes) })
      : writeZstdChunked(tar, { compress: (bytes) => zstdAsync(bytes, { params, pledgedSrcSize: bytes.length }) })
  const written = await writeOut(writer)
  const { digest, size, annotations, diffId } = written
  const mediaType = format === 'estargz' ? mediaTypes.layerGzip : mediaTypes.layerZstd
  const layer: LayerBlob = { blob: { mediaType, digest, size, annotations }, diffId, tarSize }
  await writeFile(`${notes}.new`, JSON.stringify(layer))
  await rename(`${notes}.new`, notes)
  return layer
}

type Named = TableFacts & Pick<Descriptor, 'digest' | 'size'>

async function writeOut(writer: AsyncGenerator<Uint8Array, TableFacts>): Promise<Named> {
  const path = join(layout, `new-${process.pid}`)
  const file = await open(path, 'w')
  const hash = createHash('sha256')
  let size = 0
  for (;;) {
    const step = await writer.next()
    if (step.done === true) {
      await file.close()
      const digest = parseDigest(`sha256:${hash.digest('hex')}`)
      await rename(path, join(layout, 'blobs/sha256', hexOf(digest)))
      return { ...step.value, digest, size }
    }
    hash.update(step.value)
    size += step.value.length
    await file.writeFile(step.value)
  }
}
