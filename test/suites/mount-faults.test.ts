import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import type { VerityDigest } from '../../src/digest.ts'
import { OnefoldError } from '../../src/error.ts'
import { unmount } from '../../src/linux/mount-calls.ts'
import { readMounts } from '../../src/linux/mountinfo.ts'
import { type MountOptions, mountImage } from '../../src/mount/mount-image.ts'
import { listMounts } from '../../src/mount/mount-status.ts'
import { type UnmountOptions, sweepMounts, unmountImage } from '../../src/mount/unmount.ts'
import { type DiskTrouble, type FaultKind, diskTroubles, runFailing } from '../fixtures/failing-calls.ts'
import { type ImageStore, directory, file, imageStore } from '../fixtures/mount-store.ts'
import { needsRoot } from '../fixtures/needs.ts'
import { type Scratch, scratch } from '../fixtures/scratch.ts'

/**
 * Every call of a mount and of an unmount fails, the first, the second and so on to the last: no mount is left that nobody
 * knows of, changes stay, and the same succeeds the next time.
 */
const refusal: DiskTrouble = { what: 'a kernel that refuses', kinds: ['mount'], errno: 'EIO' }
const troubles = [...diskTroubles, refusal]

const big = 'a body of more than sixty-four bytes, so that it becomes an object. '.repeat(3)

interface Setup {
  readonly place: Scratch
  readonly store: ImageStore
  readonly image: VerityDigest
  readonly target: string
}

/** A store of one image. Whatever becomes of a mount, nothing of it stays behind. */
function setUp(): Setup & Disposable {
  const place = scratch('mount-faults')
  const store = imageStore(place.at('store'))
  const image = store.add(directory({ name: file(store.content(big)) }))
  return {
    place,
    store,
    image,
    target: place.at('target'),
    [Symbol.dispose]: () => {
      for (const { target } of mountsBelow(place.path).toReversed()) unmount(target, { lazy: true })
      place[Symbol.dispose]()
    },
  }
}

function mountsBelow(folder: string): ReturnType<typeof readMounts> {
  return readMounts().filter(({ target }) => target.startsWith(folder))
}

function eachFault(run: (trouble: DiskTrouble, kind: FaultKind, nth: number) => Promise<boolean>): void {
  for (const trouble of troubles)
    for (const kind of trouble.kinds)
      test(`${trouble.what}: ${kind}`, async () => {
        for (let nth = 1; await run(trouble, kind, nth); nth++);
      })
}

describe('mounts', { skip: needsRoot }, () => {
  for (const options of [{}, { rw: true }, { rw: true, volatile: true }] satisfies MountOptions[])
    describe(`mount ${JSON.stringify(options)}`, () => {
      eachFault(async (trouble, kind, nth) => {
        using setup = setUp()
        const { place, store, image, target } = setup
        const mountIt = (): unknown => mountImage(store, image, { ...options, target })
        const { isHit, error, what } = await runFailing(mountIt, kind, { ...trouble, nth })
        assert.ok(error === undefined || error instanceof OnefoldError, what)
        // Whoever is told that it failed has nothing to take away.
        assert.equal(mountsBelow(place.path).length, error === undefined ? 1 : 0, what)
        // On a disk that goes away in the middle, an empty directory and a record of no changes are all that may stay.
        if (kind === 'any')
          for (const { id, state } of listMounts(store))
            if (state === 'kept') unmountImage(store, id, { discard: true })
        if (error !== undefined) mountIt()
        checkMounted(setup, what)
        unmountImage(store, target, options.rw === true ? { discard: true } : {})
        checkNothingLeft(setup, what)
        if (kind !== 'any') assert.equal(existsSync(target), false, what)
        return isHit
      })
    })

  for (const options of [{}, { discard: true }, { lazy: true }] satisfies UnmountOptions[])
    describe(`unmount ${JSON.stringify(options)}`, () => {
      eachFault(async (trouble, kind, nth) => {
        using setup = setUp()
        const { place, store, image, target } = setup
        const { id } = mountImage(store, image, { rw: true, target })
        writeFileSync(`${target}/changed`, 'by hand')
        const { isHit, error, what } = await runFailing(() => unmountImage(store, id, options), kind, {
          ...trouble,
          nth,
        })
        assert.ok(error === undefined || error instanceof OnefoldError, what)
        // Whoever is told that it failed tries again, if there is still something.
        if (error !== undefined && listMounts(store).length > 0) unmountImage(store, id, options)
        assert.equal(mountsBelow(place.path).length, 0, what)
        if (options.discard !== true) {
          mountImage(store, image, { upper: id, target })
          assert.equal(readFileSync(`${target}/changed`, 'utf8'), 'by hand', what)
          unmountImage(store, id, { discard: true })
        }
        checkNothingLeft(setup, what)
        assert.equal(existsSync(target), false, what)
        return isHit
      })
    })
})

function checkMounted({ store, target }: Setup, what: string): void {
  assert.equal(readFileSync(`${target}/name`, 'utf8'), big, what)
  assert.deepEqual(
    listMounts(store).map(({ state, targets }) => [state, targets]),
    [['mounted', [target]]],
    what,
  )
}

/** After what is left of unfinished mounts has been swept. */
function checkNothingLeft({ place, store }: Setup, what: string): void {
  sweepMounts(store)
  assert.deepEqual(mountsBelow(place.path), [], what)
  assert.deepEqual(listMounts(store), [], what)
  assert.deepEqual(readdirSync(`${store.root}/mounts`), [], what)
}
