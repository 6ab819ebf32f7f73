import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { describe, test } from 'node:test'
import { getXattr, listXattrs } from '../../src/linux/xattr.ts'
import { runOnefold } from '../fixtures/command.ts'
import {
  type ImageOptions,
  type TestEntry,
  directory,
  file,
  hardlink,
  makeImage,
  special,
  symlink,
  tarOf,
} from '../fixtures/images.ts'
import { needsPrograms, needsRoot } from '../fixtures/needs.ts'
import { scratch } from '../fixtures/scratch.ts'

/** What looks odd or hostile and is legal: taken as it is, shown as it is, and steering nothing. By the commands alone. */

const big = (letter: string): Buffer => Buffer.alloc(5000, letter)

interface World extends Disposable {
  /** Runs a command on the store, which must succeed, and returns what it prints. */
  readonly run: (...args: readonly string[]) => string
  readonly fails: (...args: readonly string[]) => number | null
  readonly at: (...names: string[]) => string
}

/** A store with one image, called `app`. */
function worldWith(options: ImageOptions): World {
  const place = scratch('legal')
  using image = makeImage(options)
  const world = emptyWorld(place)
  world.run('pull', image.name, '--name', 'app')
  return world
}

function emptyWorld(place = scratch('legal')): World {
  const store = ['--quiet', '--store', place.at('store')]
  return {
    run: (...args) => {
      const { code, out, err } = runOnefold([...store, ...args])
      assert.equal(code, 0, `${args.join(' ')}: ${err}`)
      return out
    },
    fails: (...args) => runOnefold([...store, ...args]).code,
    at: place.at,
    [Symbol.dispose]: () => place[Symbol.dispose](),
  }
}

interface Listed {
  readonly path: string | { readonly hex: string }
  readonly type: string
  readonly mode: string
  readonly mtime: number
  readonly mtimeNsec?: number
  readonly device?: readonly number[]
  readonly xattrs?: readonly { readonly name: string; readonly value: string }[]
}

function listed(world: World, image = 'app'): Listed[] {
  return JSON.parse(world.run('--json', 'inspect', '--tree', image)) as Listed[]
}

describe('images', () => {
  test('without layers, with empty ones, and with a blob of no bytes', () => {
    using world = worldWith({ layers: [] })
    assert.equal(world.run('ls', 'app'), '')
    for (const layers of [
      [[], [file('a', 'x')], []],
      [new Uint8Array(), [file('a', 'x')]],
    ] as const) {
      using image = makeImage({ layers, compress: 'none' })
      world.run('pull', image.name, '--name', 'other')
      assert.equal(world.run('ls', 'other'), 'a\n')
    }
    world.run('fsck', '--rebuild')
  })

  test('with absolute names, ./ names and one name twice', () => {
    using world = worldWith({ layers: [tarOf([file('a', '1'), file('dup', 'first'), file('dup', 'second')])] })
    assert.equal(world.run('cat', 'app', '/dup'), 'second')
    using odd = worldWith({ layers: [renamed(['/abs', './dot', './/x/./y'])] })
    assert.equal(odd.run('ls', '-R', 'app'), 'abs\ndot\nx\nx/y\n')
  })

  test('with a hundred pax headers before one entry, the last of which counts', () => {
    const long = (i: number): Buffer => tarOf([file(`${'n'.repeat(200)}-${i}`, 'x')]).subarray(0, 1024)
    const headers = Array.from({ length: 100 }, (_, i) => long(i))
    const entry = tarOf([file('short', 'x')])
    using world = worldWith({ layers: [Buffer.concat([...headers, entry])] })
    assert.equal(world.run('ls', 'app'), `${'n'.repeat(200)}-99\n`)
  })

  test('whose layers change types', () => {
    const below = [
      directory('a'),
      file('a/x', 'x'),
      file('b', 'b'),
      symlink('c', 'a'),
      directory('d'),
      file('d/y', 'y'),
    ]
    const above = [file('a', 'file'), directory('b'), file('b/y', 'y'), directory('c'), symlink('d', '/a')]
    using world = worldWith({ layers: [below, above] })
    assert.equal(world.run('ls', '-R', 'app'), 'a\nb\nb/y\nc\nd\n')
    assert.equal(world.run('cat', 'app', '/d'), 'file')
  })

  test('with names that only look like whiteouts', () => {
    const world = worldWith({
      layers: [[file('a.wh.b', 'x'), directory('.wh'), file('.whx', 'y'), file('x/.WH.a', 'z')]],
    })
    using _ = world
    assert.equal(world.run('ls', '-R', 'app'), '.wh\n.whx\na.wh.b\nx\nx/.WH.a\n')
  })

  test('with times before 1970, behind 2106 and within a second', () => {
    const times: readonly [name: string, mtime: number, mtimeNsec: number][] = [
      ['far', 2 ** 33, 0],
      ['neg', -5, 500_000_000],
      ['old', -(2 ** 31) - 5, 0],
      ['sub', 1_700_000_000, 123_456_789],
    ]
    using world = worldWith({
      layers: [times.map(([name, mtime, mtimeNsec]) => file(name, 'x', { mtime, mtimeNsec }))],
    })
    const seen = listed(world).slice(1)
    assert.deepEqual(
      seen.map(({ path, mtime, mtimeNsec = 0 }) => [path, mtime, mtimeNsec]),
      times.map(([name, ...time]) => [`/${name}`, ...time]),
    )
  })

  test('nested deeper than a path is long are refused, and those that just fit are not', () => {
    const deep = (depth: number): string => Array.from({ length: depth }, (_, i) => `d${i}`).join('/')
    using world = worldWith({ layers: [[file(`${deep(100)}/${'n'.repeat(255)}`, 'deep')]] })
    assert.equal(world.run('cat', 'app', `/${deep(100)}/${'n'.repeat(255)}`), 'deep')
    using image = makeImage({ layers: [[file(`${deep(1200)}/x`, 'too deep')]] })
    assert.equal(world.fails('pull', image.name), 1)
  })
})

describe('symlinks', () => {
  const layer = [
    symlink('abs', '/etc/passwd'),
    symlink('up', '../../../../../../../../etc/passwd'),
    symlink('loop', 'loop'),
    symlink('one', 'two'),
    symlink('two', 'one'),
    symlink('out', '../../../../..'),
    symlink('magic', '/proc/self/root/etc/passwd'),
    symlink('alias', '/etc'),
    directory('etc'),
    file('etc/name', 'inside'),
  ]

  test('lead nowhere but into the image', () => {
    using world = worldWith({ layers: [layer] })
    for (const path of ['alias/name', 'out/etc/name', '../../etc/name', '/alias/../etc/./name'])
      assert.equal(world.run('cat', 'app', path), 'inside')
    for (const [path, code] of [
      ['abs', 3],
      ['up', 3],
      ['magic', 3],
      ['loop', 1],
      ['one', 1],
      ['out', 2],
    ] as const)
      assert.equal(world.fails('cat', 'app', path), code, path)
    assert.equal(world.run('ls', 'app', 'out'), world.run('ls', 'app'))
  })
})

describe('names that are not UTF-8', () => {
  const layer = [file('caf\xe9', 'latin'), directory('d\x80'), file('d\x80/\xff\n', big('b')), symlink('s', 'caf\xe9')]

  test('are pulled, listed, read, compared', () => {
    using world = worldWith({ layers: [layer] })
    assert.equal(world.run('ls', '-R', 'app'), 'caf\\xe9\nd\\x80\nd\\x80/\\xff\\x0a\ns\n')
    for (const path of ['caf\\xe9', 's']) assert.equal(world.run('cat', 'app', path), 'latin')
    assert.equal(world.run('cat', 'app', 'd\\x80/\\xff\\x0a'), big('b').toString())
    assert.deepEqual(listed(world)[1]?.path, { hex: Buffer.from('/caf\xe9', 'latin1').toString('hex') })
    using image = makeImage({ layers: [layer, [file('caf\xe9', 'other')]] })
    world.run('pull', image.name, '--name', 'other')
    assert.equal(world.fails('diff', 'app', 'other'), 1)
    assert.equal(runOnefold(['--store', world.at('store'), 'diff', 'app', 'other']).out, '~ /caf\\xe9  (content)\n')
  })

  test('are mounted', { skip: needsRoot }, () => {
    using world = worldWith({ layers: [layer] })
    mounted(world, 'app', [], (target) => {
      const path = Buffer.concat([Buffer.from(`${target}/`), Buffer.from('d\x80/\xff\n', 'latin1')])
      assert.ok(fs.readFileSync(path).equals(big('b')))
      assert.equal(fs.readFileSync(`${target}/s`, 'utf8'), 'latin')
    })
  })
})

describe('special files and modes', () => {
  const layer = [
    special('null', 'char', { major: 1, minor: 3, mode: 0o666 }),
    special('disk', 'block', { major: 259, minor: 70_000, mode: 0o600 }),
    special('pipe', 'fifo'),
    file('su', big('s'), { mode: 0o6755 }),
    directory('tmp', { mode: 0o1777 }),
    hardlink('also-null', 'null'),
  ]

  test('are listed with all they have', () => {
    using world = worldWith({ layers: [layer] })
    assert.deepEqual(
      listed(world)
        .slice(1)
        .map(({ path, type, mode, device }) => [path, type, mode, device]),
      [
        ['/also-null', 'char', '0666', [1, 3]],
        ['/disk', 'block', '0600', [259, 70_000]],
        ['/null', 'char', '0666', [1, 3]],
        ['/pipe', 'fifo', '0644', undefined],
        ['/su', 'file', '6755', undefined],
        ['/tmp', 'directory', '1777', undefined],
      ],
    )
    assert.equal(world.fails('cat', 'app', 'null'), 2)
    assert.equal(world.fails('cat', 'app', 'pipe'), 2)
  })

  test('are mounted, and devices open nothing', { skip: needsRoot }, () => {
    using world = worldWith({ layers: [layer] })
    mounted(world, 'app', [], (target) => {
      assert.equal(fs.statSync(`${target}/su`).mode & 0o7777, 0o6755)
      assert.equal(fs.statSync(`${target}/null`).nlink, 2)
      assert.ok(fs.statSync(`${target}/disk`).isBlockDevice())
      assert.throws(() => fs.readFileSync(`${target}/null`), { code: 'EACCES' })
    })
    mounted(world, 'app', ['--nosuid'], (target) => {
      assert.match(execFileSync('findmnt', ['-no', 'OPTIONS', target], { encoding: 'utf8' }), /nosuid/)
    })
  })
})

describe("attributes that look like overlayfs' own", { skip: needsRoot || needsPrograms('mount', 'umount') }, () => {
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex')

  /** The worst an image can ask for: files that name another image's object, directories that name another directory. */
  const attack = (redirect: string): Map<string, Uint8Array> =>
    new Map(
      ['trusted.overlay.', 'user.overlay.', 'trusted.overlay.overlay.'].flatMap((prefix) => [
        [`${prefix}redirect`, Buffer.from(redirect)] as const,
        [`${prefix}metacopy`, Buffer.alloc(0)] as const,
        [`${prefix}opaque`, Buffer.from('y')] as const,
        [`${prefix}whiteout`, Buffer.alloc(0)] as const,
      ]),
    )

  const tree = (redirect: string): TestEntry[] => {
    const xattrs = attack(redirect)
    return [
      file('big', big('F'), { xattrs }),
      file('small', 'tiny', { xattrs }),
      file('empty', '', { xattrs }),
      directory('dir', { xattrs: attack('/other') }),
      file('dir/inside', 'inside'),
      directory('other'),
      file('other/hidden', 'hidden'),
      file('cap', big('C'), { mode: 0o755, xattrs: new Map([['security.capability', capability]]) }),
    ]
  }

  /** Looks at everything through a mount, whatever is in between. */
  const expect = (target: string): void => {
    assert.deepEqual(fs.readdirSync(target).sort(), ['big', 'cap', 'dir', 'empty', 'other', 'small'])
    assert.deepEqual(fs.readdirSync(`${target}/dir`), ['inside'])
    assert.ok(fs.readFileSync(`${target}/big`).equals(big('F')))
    assert.deepEqual(
      ['small', 'empty', 'dir/inside', 'other/hidden'].map((path) => fs.readFileSync(`${target}/${path}`, 'utf8')),
      ['tiny', '', 'inside', 'hidden'],
    )
    assert.ok(Buffer.from(getXattr(`${target}/cap`, 'security.capability') ?? []).equals(capability))
  }

  /** Changes everything there is: what is copied up takes its attributes along. */
  const change = (target: string): void => {
    for (const name of ['big', 'small', 'empty']) fs.appendFileSync(`${target}/${name}`, '+')
    fs.renameSync(`${target}/dir`, `${target}/moved`)
    fs.writeFileSync(`${target}/other/new`, 'new')
    assert.deepEqual(fs.readdirSync(`${target}/moved`), ['inside'])
    assert.deepEqual(fs.readdirSync(`${target}/other`).sort(), ['hidden', 'new'])
    assert.equal(fs.readFileSync(`${target}/big`, 'latin1'), `${big('F').toString()}+`)
  }

  /** A store with another image's secret in it, and this one. */
  const attacked = (kind: 'layer' | 'plain'): World => {
    const world = emptyWorld()
    using secret = makeImage({ layers: [[file('secret', big('S'), { mode: 0o600 })]] })
    world.run('pull', secret.name, '--name', 'secret')
    const { object = '' } = listed(world, 'secret').find(({ path }) => path === '/secret') as { object?: string }
    const entries = tree(`/${object.slice(0, 2)}/${object.slice(2)}`)
    using image = makeImage({ layers: [entries] })
    if (kind === 'plain') fs.writeFileSync(world.at('tree.tar'), tarOf(entries))
    world.run('pull', kind === 'plain' ? `tar:${world.at('tree.tar')}` : image.name, '--name', 'app')
    return world
  }

  for (const kind of ['layer', 'plain'] as const) {
    test(`never steer a mount of a ${kind}, read-only or writable, nor one whose changes come back`, () => {
      using world = attacked(kind)
      mounted(world, 'app', [], expect)
      const id = mounted(world, 'app', ['--rw'], (target) => (expect(target), change(target)), [])
      mounted(world, 'app', ['--upper', id], (target) => {
        assert.deepEqual(fs.readdirSync(`${target}/moved`), ['inside'])
        assert.equal(fs.readFileSync(`${target}/small`, 'utf8'), 'tiny+')
        assert.ok(fs.readFileSync(`${target}/cap`).equals(big('C')))
      })
    })

    test(`of a ${kind} are data with their names, seen by inspect and in the mount alike`, () => {
      using world = attacked(kind)
      const names = [...attack('').keys()].filter((name) => kind === 'plain' || name.startsWith('user.')).sort()
      const found = listed(world).find(({ path }) => path === '/small')?.xattrs ?? []
      // A tar cannot say that an attribute is empty.
      const told = found.map(({ name }) => name)
      assert.ok(told.every((name) => names.includes(name)))
      assert.ok(told.includes('user.overlay.redirect'))
      mounted(world, 'app', [], (target) => {
        assert.deepEqual(listXattrs(`${target}/small`).toSorted(), told.toSorted())
      })
    })
  }

  test('never steer an overlay that an engine puts above the mount into anything but the image', () => {
    using world = attacked('layer')
    mounted(world, 'app', [], (lower) => {
      for (const name of ['upper', 'work', 'merged']) fs.mkdirSync(world.at(name))
      const layers = `lowerdir=${lower},upperdir=${world.at('upper')},workdir=${world.at('work')}`
      execFileSync('mount', [
        '-t',
        'overlay',
        'overlay',
        '-o',
        `${layers},metacopy=on,redirect_dir=on`,
        world.at('merged'),
      ])
      try {
        expect(world.at('merged'))
        change(world.at('merged'))
      } finally {
        execFileSync('umount', [world.at('merged')])
      }
    })
  })
})

describe('large things', () => {
  test('100,000 files in one directory', () => {
    using world = emptyWorld()
    const names = Array.from({ length: 100_000 }, (_, i) => `d/name-${String(i).padStart(6, '0')}`)
    fs.writeFileSync(world.at('many.tar'), tarOf(names.map((name) => file(name, 'x'))))
    world.run('pull', `tar:${world.at('many.tar')}`, '--name', 'app')
    assert.equal(world.run('ls', 'app', 'd').split('\n').length, names.length + 1)
    assert.equal(world.run('ls', '-l', 'app', 'd').split('\n').length, names.length + 1)
    assert.equal(world.run('cat', 'app', 'd/name-099999'), 'x')
  })

  test('a file of 512 MiB with nothing in it takes no space', { skip: needsPrograms('tar') }, () => {
    using world = emptyWorld()
    fs.mkdirSync(world.at('tree'))
    fs.writeFileSync(world.at('tree/sparse'), 'data')
    fs.truncateSync(world.at('tree/sparse'), 2 ** 29)
    execFileSync('tar', ['-S', '-cf', world.at('sparse.tar'), '-C', world.at('tree'), '.'])
    world.run('pull', `tar:${world.at('sparse.tar')}`, '--name', 'app')
    const [fan = ''] = fs.readdirSync(world.at('store/objects'))
    const [name = ''] = fs.readdirSync(world.at('store/objects', fan))
    const { size, blocks } = fs.statSync(world.at('store/objects', fan, name))
    assert.equal(size, 2 ** 29)
    assert.ok(blocks * 512 < 1_000_000, `${blocks} blocks`)
  })
})

/** Mounts an image while `look` runs; returns the id of the mount. Changes are thrown away unless `after` is empty. */
function mounted(
  world: World,
  image: string,
  options: readonly string[],
  look: (target: string) => void,
  after = options.length > 0 && options[0] !== '--nosuid' ? ['--discard'] : [],
): string {
  const { id, target } = JSON.parse(world.run('--json', 'mount', ...options, image, world.at('target'))) as {
    id: string
    target: string
  }
  try {
    look(target)
  } finally {
    world.run('umount', ...after, id)
  }
  return id
}

/** A tar whose names are written as they are: the writer would clean them. */
function renamed(names: readonly string[]): Buffer {
  const tar = tarOf(names.map((_, i) => file(`n${i}`, 'x')))
  names.forEach((name, i) => {
    const at = i * 1024
    tar.fill(0, at, at + 100)
    tar.write(name, at, 'latin1')
    tar.fill(' ', at + 148, at + 156)
    const sum = tar.subarray(at, at + 512).reduce((total, byte) => total + byte, 0)
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148)
  })
  return tar
}
