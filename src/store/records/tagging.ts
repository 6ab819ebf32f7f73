import type { AbortOptions } from '../../abort.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { findImage } from './find-image.ts'
import { lockRefs, lockStore } from '../store-lock.ts'
import { type RefCondition, checkCondition, encodeRef, listRefs, readRef, removeRef, writeRef } from './refs.ts'
import { noteUnnamed } from '../transaction/unnamed.ts'

export async function tagImage(
  root: string,
  image: string,
  name: string,
  options: AbortOptions & { readonly condition?: RefCondition } = {},
): Promise<void> {
  encodeRef(name)
  // What is found under the lock cannot be taken away before its second name is there.
  using _store = await lockStore(root, 'shared', options.signal)
  using _refs = await lockRefs(root, options.signal)
  const top = topOf(root, image)
  checkCondition(root, name, options.condition ?? 'any')
  noteUnnamed(root, name)
  writeRef(root, name, top)
}

/** A name stands for what its ref says, also when only some of its platforms are there; a digest for one image. */
function topOf(root: string, image: string): Descriptor {
  const top = listRefs(root).includes(image) ? readRef(root, image) : undefined
  return top ?? findImage(root, image).record.manifest
}

export async function removeImage(root: string, image: string, options: AbortOptions = {}): Promise<string> {
  using _store = await lockStore(root, 'shared', options.signal)
  using _refs = await lockRefs(root, options.signal)
  const name = listRefs(root).includes(image) ? image : onlyName(root, image)
  noteUnnamed(root, name)
  if (removeRef(root, name)) return name
  throw new OnefoldError('NOT_FOUND', `Cannot remove image ${JSON.stringify(image)}: it has just been removed`)
}

/** A digest may be removed by when that leaves no doubt about the name that goes. */
function onlyName(root: string, image: string): string {
  const { names, top } = findImage(root, image)
  const [name, ...others] = names
  if (name !== undefined && others.length === 0) return name
  throw new OnefoldError(
    'BUSY',
    `Cannot remove image ${JSON.stringify(image)}: it has several names: ${names.join(', ')} (${top.digest})`,
    { hint: 'Remove it by name.' },
  )
}
