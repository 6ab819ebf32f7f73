import { existsSync, readSync } from 'node:fs'
import { OnefoldError } from '../../error.ts'
import { type ObjectPiece, type Recipe } from '../../recipe/recipe.ts'
import { objectPath } from '../store-layout.ts'
import { openObject } from '../objects/object-files.ts'

const chunkBytes = 1024 * 1024

/**
 * The exact tar of a layer, in chunks that are valid until the next is asked for.
 * @param staged the folder of a transaction, whose objects come first
 */
export function* rebuildTar(root: string, recipe: Recipe, staged?: string): Generator<Uint8Array> {
  const buffer = Buffer.allocUnsafe(chunkBytes)
  for (const piece of recipe.rebuild()) {
    if (piece instanceof Uint8Array) yield piece
    else yield* readPiece(placeOf(piece, root, staged), piece, buffer)
  }
}

function placeOf({ object }: ObjectPiece, root: string, staged: string | undefined): string {
  return staged !== undefined && existsSync(objectPath(staged, object)) ? staged : root
}

function* readPiece(root: string, piece: ObjectPiece, buffer: Buffer): Generator<Uint8Array> {
  using file = openObject(root, piece.object)
  for (let done = 0; done < piece.length;) {
    const length = Math.min(buffer.length, piece.length - done)
    const bytesRead = readSync(file.fd, buffer, 0, length, piece.offset + done)
    if (bytesRead === 0)
      throw new OnefoldError('CORRUPT', `Cannot read object ${piece.object}: it has ${file.size} bytes, expected more`)
    yield buffer.subarray(0, bytesRead)
    done += bytesRead
  }
}
