import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { blocksOf, projectRoot, readPages } from './markdown.ts'
import { PageRunner, ableBlocks } from './page-runner.ts'

/** Checks and runs what users copy from docs/library.md and the README: every `ts` block, each of which is a program. */
const pages = readPages().filter(({ path }) => path === 'docs/library.md' || path === 'README.md')
const programs = pages.map((page) => ({
  page,
  blocks: blocksOf(page).filter(({ language }) => language === 'ts'),
}))
let runner: PageRunner

before(async () => void (runner = await PageRunner.start(pages)))
after(() => runner[Symbol.asyncDispose]())

test('programs have the right types', () => {
  const folder = runner.makeFolder('types')
  for (const { page, blocks } of programs) for (const block of blocks) runner.writeProgram(folder, page, block)
  writeFileSync(join(folder, 'tsconfig.json'), typesConfig)
  const { status, stdout } = spawnSync('tsc', ['-p', folder], { encoding: 'utf8', env: runner.environment(folder) })
  assert.equal(status, 0, stdout)
})

for (const { page, blocks } of programs)
  describe(page.path, () => {
    let folder: string
    before(() => void (folder = runner.makeFolder(page.path)))
    for (const block of ableBlocks(page, blocks))
      test(`${page.path}:${block.line}`, () => runner.runProgram(folder, page, block))
  })

const typesConfig = JSON.stringify({
  extends: join(projectRoot, 'tsconfig.json'),
  compilerOptions: {
    typeRoots: [join(projectRoot, 'node_modules/@types')],
    rewriteRelativeImportExtensions: false,
    noUnusedLocals: false,
  },
  include: ['*.mts'],
})
