/**
 * Takes out of package-lock.json which Node its packages want. They run on the one that is among them, but npm compares
 * that with the Node it runs on itself: with an older one it warns of every package, and leaves optional ones out.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '../docs/markdown.ts'

interface Lockfile {
  readonly packages: Readonly<Record<string, { engines?: unknown }>>
}

const path = join(projectRoot, 'package-lock.json')
const lockfile = JSON.parse(readFileSync(path, 'utf8')) as Lockfile
for (const each of Object.values(lockfile.packages)) delete each.engines
writeFileSync(path, `${JSON.stringify(lockfile, undefined, 2)}\n`)
