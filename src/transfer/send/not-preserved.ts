import { OnefoldError } from '../../error.ts'

/** Error for a digest that was to be preserved and cannot be. */
export function notPreserved(what: string, found: string): OnefoldError {
  return new OnefoldError('UNSUPPORTED', `Cannot keep the digest of ${what}: ${found}`, {
    hint: 'Without --preserve-digests the manifest gets another digest; the image ID (config digest) stays.',
  })
}
