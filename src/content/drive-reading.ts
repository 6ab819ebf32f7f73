import { checkDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import type { Descriptor } from '../formats/oci/descriptor.ts'
import type { Answer, Artifact, ReadRequest, Reading, Related } from '../formats/reading.ts'

/** Answers to what the readers of formats ask for. */
export interface Answers {
  /** Returns exactly bytes `start` to `end` of a blob, not verified. */
  range(blob: Descriptor, start: number, end: number): Promise<Uint8Array>
  /**
   * Returns a document that goes with the image, verified where it is asked for by digest; undefined where there is
   * none.
   */
  related(related: Related): Promise<Artifact | undefined>
}

/** Runs a reader to its end. */
export async function driveReading<T>(reading: Reading<T>, answers: Answers): Promise<T> {
  let step = reading.next()
  while (step.done !== true) step = reading.next(await answer(step.value, answers))
  return step.value
}

async function answer(request: ReadRequest, answers: Answers): Promise<Answer> {
  switch (request.kind) {
    case 'range':
      return await answers.range(request.blob, request.start, request.end)
    case 'blob':
      return await readWhole(request, answers)
    case 'related':
      return await answers.related(request.related)
  }
}

async function readWhole(
  { blob, sizeMax, what }: ReadRequest & { readonly kind: 'blob' },
  answers: Answers,
): Promise<Uint8Array> {
  if (blob.size > sizeMax)
    throw new OnefoldError('LIMIT', `Cannot read ${what}: it has ${blob.size} bytes, the limit is ${sizeMax}`, {
      hint: 'Pull the layer whole.',
    })
  const bytes = await answers.range(blob, 0, blob.size)
  checkDigest(bytes, blob.digest, what)
  return bytes
}
