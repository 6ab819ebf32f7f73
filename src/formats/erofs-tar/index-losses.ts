/** Errors about what an index cannot hold of a layer. */
import { OnefoldError } from '../../error.ts'
import { quoteName } from '../path.ts'

/** A function that is told which entry became another one, and why. */
export type OnLoss = (path: string, error: Error) => void

/** The error for what has nothing near it that an index could hold. */
export function cannotHold(path: string, what: string): OnefoldError {
  return new OnefoldError('UNSUPPORTED', describeLoss(path, what), {
    hint: 'Convert to a format that leaves layers as they are, such as tar+zstd.',
  })
}

/** Throws UNSUPPORTED unless losses are told to somebody. */
export function reportLoss(path: string, what: string, onLoss: OnLoss | undefined): void {
  const error = new OnefoldError('UNSUPPORTED', describeLoss(path, what), {
    hint: 'Convert to a format that leaves layers as they are, such as tar+zstd; with --lossy the nearest that can be held is written.',
  })
  if (onLoss === undefined) throw error
  onLoss(path, error)
}

function describeLoss(path: string, what: string): string {
  return `Cannot list ${quoteName(path)} in an EROFS index: the format cannot hold ${what}`
}
