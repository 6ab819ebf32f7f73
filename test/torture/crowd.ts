import { openStore } from '../../src/store/store.ts'
import { scratch } from '../fixtures/scratch.ts'
import { type Action, expectWhole, makeWorld, refsOf, start } from './actions.ts'

/** Commands that ended, by what they were. */
export type CrowdReport = Readonly<Record<string, number>>

/** Two processes pull, one collects and one removes, all at once and again and again; what nobody removes stays whole. */
export async function tortureByCrowd(seconds: number, say: (line: string) => void): Promise<CrowdReport> {
  using place = scratch('torture')
  await using world = await makeWorld(place.path)
  const root = place.at('store')
  const counts: Record<string, number> = {}
  const until = performance.now() + seconds * 1000
  const run = async ({ kind, args }: Action): Promise<void> => {
    const { code, err } = await start(root, args).ended
    if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${err}`)
    counts[kind] = (counts[kind] ?? 0) + 1
  }
  const repeat = async (...actions: readonly Action[]): Promise<void> => {
    while (performance.now() < until) for (const action of actions) await run(action)
  }
  await run(world.pull('a', 'kept'))
  say(`for ${seconds} s`)
  await Promise.all([
    repeat(world.pull('a', 'one'), world.pull('b', 'one')),
    repeat(world.pull('b', 'two'), world.pull('c', 'two')),
    repeat({ kind: 'gc', args: ['gc'] }),
    repeat({ kind: 'rm', args: ['rm', '--ignore', 'one', 'two'] }),
  ])
  await using store = await openStore(root)
  const refs = refsOf(store)
  if (refs.get('kept') !== world.manifests.get('a')) throw new Error('the image that nobody touched has changed')
  await expectWhole(root, refs, undefined)
  return counts
}
