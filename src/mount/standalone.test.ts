import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { describe, test } from 'node:test'
import { needsRoot } from '../../test/fixtures/needs.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import { parseVerityDigest } from '../digest.ts'
import { composeImage } from '../image/stream-image.ts'
import { unmount } from '../linux/mount-calls.ts'
import { readMounts } from '../linux/mountinfo.ts'
import { scanDirectory } from '../scan/scan-directory.ts'
import { executePlan } from './execute-plan.ts'
import type { Means } from './mount-plan.ts'
import { type StandaloneMount, mountStandalone, planStandalone } from './standalone.ts'

type Request = Parameters<typeof planStandalone>[0]
const request: Request = {
  image: 5,
  target: '/t',
  objects: ['/o1', '/o2'],
  readOnly: false,
  hasAcl: false,
  insistsOnVerity: false,
  scratch: '/s',
}
const newest: Means = { image: 'file', layers: 'descriptors' }
const plan = (more: Partial<Request>, means = newest) => planStandalone({ ...request, ...more }, means)
const overlay = {
  step: 'mount',
  type: 'overlay',
  settings: [
    { key: 'source', value: 'composefs' },
    { key: 'metacopy', value: 'on' },
    { key: 'redirect_dir', value: 'on' },
    { key: 'lowerdir+', made: 'metadata' },
    { key: 'datadir+', value: '/o1' },
    { key: 'datadir+', value: '/o2' },
  ],
  attributes: [],
  as: 'tree',
}

describe('the plan of a mount', () => {
  test('the image, attached nowhere, under an overlay named composefs', () => {
    const settings = [{ key: 'source', value: '/proc/self/fd/5' }, { key: 'ro' }, { key: 'noacl' }]
    assert.deepEqual(plan({}), [
      { step: 'mount', type: 'erofs', settings, attributes: ['rdonly', 'nodev'], as: 'metadata' },
      overlay,
      { step: 'attach', mount: 'tree', target: '/t' },
    ])
  })

  test('ro, verity, upper and work directories', () => {
    const [, mount] = plan({ readOnly: true, upper: { upper: '/u\\', work: '/w' }, insistsOnVerity: true })
    const [source, metacopy, redirects, ...layers] = overlay.settings
    assert.deepEqual(mount, {
      ...overlay,
      settings: [
        source,
        metacopy,
        redirects,
        { key: 'verity', value: 'require' },
        ...layers,
        { key: 'upperdir', value: '/u\\\\' },
        { key: 'workdir', value: '/w' },
      ],
      attributes: ['rdonly'],
    })
  })

  test('ids are mapped before the overlay sees them', () => {
    assert.deepEqual(plan({ namespace: 9 })[1], { step: 'idmap', mount: 'metadata', namespace: 9 })
  })

  test('older kernels get a loop device, and layers by path', () => {
    const steps = plan({}, { image: 'loop', layers: 'string' })
    assert.deepEqual(
      steps.map(({ step }) => step),
      ['loop', 'mount', 'attach', 'mount', 'detach', 'attach'],
    )
    const [, , , mount] = steps
    assert.ok(mount?.step === 'mount')
    assert.deepEqual(mount.settings.at(-1), { key: 'lowerdir', value: '/s::/o1::/o2' })
  })
})

/** A directory, its image `i` with objects in `o`, and places to mount it. */
async function sample(): Promise<ReturnType<typeof scratch>> {
  const folder = scratch('standalone')
  for (const name of ['d', 'm', 's']) fs.mkdirSync(folder.at(name))
  fs.writeFileSync(folder.at('d/big'), 'x'.repeat(1000))
  const tree = await scanDirectory(folder.at('d'), { objects: folder.at('o') })
  fs.writeFileSync(folder.at('i'), composeImage(tree).bytes)
  return folder
}

function opened(path: string): Disposable & { readonly fd: number } {
  const fd = fs.openSync(path, 'r')
  return { fd, [Symbol.dispose]: () => fs.closeSync(fd) }
}

describe('an image of any place', { skip: needsRoot }, () => {
  test('every way of asking the kernel gives the same files', async () => {
    using folder = await sample()
    using image = opened(folder.at('i'))
    const how = { ...request, image: image.fd, target: folder.at('m'), objects: [folder.at('o')] }
    // A loop device serves every file system; EROFS itself does not read files of all.
    for (const layers of ['descriptors', 'paths', 'string'] as const) {
      executePlan(planStandalone({ ...how, scratch: folder.at('s') }, { image: 'loop', layers }))
      try {
        assert.equal(fs.readFileSync(folder.at('m/big'), 'utf8'), 'x'.repeat(1000), layers)
      } finally {
        unmount(folder.at('m'))
      }
    }
  })

  test('fs-verity is insisted on where that can be, when it need not be', async () => {
    using folder = await sample()
    using image = opened(folder.at('i'))
    const target = folder.at('m')
    mountStandalone({ image: image.fd, name: 'i', target, objects: [folder.at('o')], readOnly: true, verity: 'try' })
    try {
      const [mount] = readMounts().filter((each) => each.target === target)
      assert.equal(mount?.source, 'composefs')
    } finally {
      unmount(target)
    }
  })

  test('what is no image, or not the one that was asked for, is refused', async () => {
    using folder = await sample()
    using image = opened(folder.at('i'))
    using other = opened(folder.at('d/big'))
    const mount: StandaloneMount = {
      image: image.fd,
      name: 'i',
      target: folder.at('m'),
      objects: [folder.at('o')],
      readOnly: true,
      verity: 'off',
    }
    const digest = parseVerityDigest('0'.repeat(64))
    assert.throws(() => mountStandalone({ ...mount, image: other.fd }), {
      code: 'BAD_FORMAT',
      message: /^Cannot mount "i": /,
    })
    assert.throws(() => mountStandalone({ ...mount, digest }), {
      code: 'UNSUPPORTED',
      message: /not sealed with fs-verity/,
    })
    assert.throws(() => mountStandalone({ ...mount, objects: ['/nowhere'] }), { code: 'NOT_FOUND' })
  })
})
