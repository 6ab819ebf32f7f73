import { after, before, describe } from 'node:test'
import { needsPrograms } from '../fixtures/needs.ts'
import { readPages } from './markdown.ts'
import { PageRunner, recipeBlocks, testRecipes } from './page-runner.ts'

/**
 * Runs what users copy from the pages of docs/recipes/ that need no registry: every `sh` block, those of a page in one
 * shell and in order. The other pages are those of recipes-registry.test.ts.
 */
const pages = readPages().filter(
  (page) =>
    page.path.startsWith('docs/recipes/') && !recipeBlocks(page).some(({ words }) => words.includes('registry')),
)
let runner: PageRunner

before(async () => void (runner = await PageRunner.start(pages)))
after(() => runner[Symbol.asyncDispose]())

describe('recipes', { skip: needsPrograms('jq') }, () => testRecipes(pages, () => runner))
