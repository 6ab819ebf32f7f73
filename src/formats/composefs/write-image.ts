/**
 * Writes a tree as the composefs image `mkcomposefs` makes of it, byte for byte. FORMAT.md has the picture and the rules.
 */
import { OnefoldError } from '../../error.ts'
import { align, blockSize } from '../erofs/erofs-records.ts'
import type { FlatTree } from '../flat/flat-tree.ts'
import type { Directory } from '../tree.ts'
import { Window, windowSize } from './image-window.ts'
import { ImageWriter } from './image-writer.ts'
import { type ErofsOptions, type ErofsPlan, planErofs } from './plan-image.ts'

/** The image of a tree; see planErofs for errors. */
export function writeErofs(
  root: Directory | FlatTree,
  options: ErofsOptions = {},
): { bytes: Uint8Array; version: 0 | 1 } {
  const plan = planErofs(root, options)
  const bytes = allocate(plan.layout.bytes)
  new ImageWriter(plan, new Window(bytes)).write()
  return { bytes, version: plan.version }
}

/** Hands the image on in order, in pieces that are good until the next one: no more than one is in memory. */
export function streamErofs(plan: ErofsPlan, sink: (piece: Uint8Array) => void): void {
  const window = new Window(allocate(Math.min(windowSize, plan.layout.bytes)), sink)
  new ImageWriter(plan, window).write()
  window.end(plan.layout.bytes)
}

function allocate(size: number): Uint8Array {
  try {
    return new Uint8Array(align(size, blockSize))
  } catch (cause) {
    throw new OnefoldError('LIMIT', `Cannot write image: it would take ${size} bytes of memory`, { cause })
  }
}
