import { after, before, describe } from 'node:test'
import { needsPrograms } from '../fixtures/needs.ts'
import { readPages } from './markdown.ts'
import { PageRunner, recipeBlocks, testRecipes } from './page-runner.ts'

/**
 * Runs what users copy from the pages of docs/recipes/ that need a registry, and from the README: every `sh` block (of
 * the README, those that say `run`), those of a page in one shell and in order.
 */
const pages = readPages().filter(
  (page) =>
    (page.path.startsWith('docs/recipes/') || page.path === 'README.md') &&
    recipeBlocks(page).some(({ words }) => words.includes('registry')),
)
let runner: PageRunner

before(async () => void (runner = await PageRunner.start(pages)))
after(() => runner[Symbol.asyncDispose]())

describe('recipes', { skip: needsPrograms('jq') }, () => testRecipes(pages, () => runner))
