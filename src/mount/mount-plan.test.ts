import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type MountRequest, planMount } from './mount-plan.ts'

const request: MountRequest = {
  id: '0123456789ab',
  image: 7,
  hasAcl: false,
  objects: ['/s/objects'],
  target: '/t',
  scratch: '/s/scratch',
}

test('the plain case: the image by its descriptor, nothing attached but the tree', () => {
  assert.deepEqual(planMount(request, { image: 'file', layers: 'descriptors' }), [
    {
      step: 'mount',
      type: 'erofs',
      settings: [{ key: 'source', value: '/proc/self/fd/7' }, { key: 'ro' }, { key: 'noacl' }],
      attributes: ['rdonly', 'nodev'],
      as: 'metadata',
    },
    {
      step: 'mount',
      type: 'overlay',
      settings: [
        { key: 'source', value: 'onefold:0123456789ab' },
        { key: 'metacopy', value: 'on' },
        { key: 'redirect_dir', value: 'on' },
        { key: 'index', value: 'off' },
        { key: 'nfs_export', value: 'off' },
        { key: 'lowerdir+', made: 'metadata' },
        { key: 'datadir+', value: '/s/objects' },
      ],
      attributes: ['rdonly', 'nodev'],
      as: 'tree',
    },
    { step: 'attach', mount: 'tree', target: '/t' },
  ])
})

test('without file-backed EROFS, a loop device; without descriptors as layers, a place for a moment', () => {
  const steps = planMount(request, { image: 'loop', layers: 'paths' })
  assert.deepEqual(
    steps.map((step) => step.step),
    ['loop', 'mount', 'attach', 'mount', 'detach', 'attach'],
  )
  assert.deepEqual(settingsOf(steps, 'erofs')[0], { key: 'source', made: 'device' })
  assert.deepEqual(settingsOf(steps, 'overlay').slice(5), [
    { key: 'lowerdir+', value: '/s/scratch' },
    { key: 'datadir+', value: '/s/objects' },
  ])
})

test('layers as one string are escaped', () => {
  const odd = { ...request, objects: ['/a:b\\c'] }
  const settings = settingsOf(planMount(odd, { image: 'file', layers: 'string' }), 'overlay')
  assert.deepEqual(settings.slice(5), [{ key: 'lowerdir', value: '/s/scratch::/a\\:b\\\\c' }])
})

test('a writable mount: upper and work, the root copied when the upper is new, not read-only', () => {
  const changes = { upper: '/u\\p', work: '/w', fresh: true }
  const steps = planMount(
    { ...request, hasAcl: true, changes, volatile: true, verity: true, nosuid: true },
    {
      image: 'file',
      layers: 'descriptors',
    },
  )
  assert.deepEqual(steps[1], { step: 'copy-root', mount: 'metadata', upper: '/u\\p' })
  assert.deepEqual(settingsOf(steps, 'erofs').at(-1), { key: 'ro' })
  assert.deepEqual(settingsOf(steps, 'overlay').slice(5), [
    { key: 'verity', value: 'require' },
    { key: 'lowerdir+', made: 'metadata' },
    { key: 'datadir+', value: '/s/objects' },
    { key: 'upperdir', value: '/u\\\\p' },
    { key: 'workdir', value: '/w' },
    { key: 'volatile' },
  ])
  assert.deepEqual(
    steps.find((step) => step.step === 'mount' && step.type === 'overlay'),
    {
      ...steps[2],
      attributes: ['nodev', 'nosuid'],
    },
  )
  const again = planMount(
    { ...request, changes: { ...changes, fresh: false } },
    { image: 'file', layers: 'descriptors' },
  )
  assert.equal(
    again.some((step) => step.step === 'copy-root'),
    false,
  )
})

test('no plan lets user.overlay.* of an image mean anything', () => {
  for (const image of ['file', 'loop'] as const) {
    for (const layers of ['descriptors', 'paths', 'string'] as const) {
      const keys = settingsOf(planMount(request, { image, layers }), 'overlay').map((setting) => setting.key)
      assert.equal(keys.includes('userxattr'), false)
    }
  }
})

function settingsOf(steps: ReturnType<typeof planMount>, type: string): readonly { readonly key: string }[] {
  const step = steps.find((each) => each.step === 'mount' && each.type === type)
  return step?.step === 'mount' ? step.settings : []
}
