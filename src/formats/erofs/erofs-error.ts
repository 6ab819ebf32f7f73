import { OnefoldError } from '../../error.ts'

/** The error for an image that breaks the rules of EROFS, or those of composefs on top of them. */
export function bad(what: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot read EROFS image: ${what}`)
}

/** The error for an image that keeps the rules and needs more than this reader knows. */
export function unsupported(what: string): OnefoldError {
  return new OnefoldError('UNSUPPORTED', `Cannot read EROFS image: ${what}`)
}
