import { setTimeout as sleep } from 'node:timers/promises'
import { openStore } from '../../src/store/store.ts'
import { scratch } from '../fixtures/scratch.ts'
import { type Action, expectWhole, makeWorld, start, unfinishedIn } from './actions.ts'
import type { Random } from './random.ts'

export interface KillReport {
  /** Processes that were killed before they ended, by command. */
  readonly killed: Readonly<Record<string, number>>
  /** Those that were quicker. */
  readonly ended: number
}

/** Kills commands with SIGKILL at random instants until `kills` have met one alive, and checks the store after each. */
export async function tortureByKills(random: Random, kills: number, say: (line: string) => void): Promise<KillReport> {
  using place = scratch('torture')
  await using world = await makeWorld(place.path)
  const root = place.at('store')
  await (await openStore(root))[Symbol.asyncDispose]()
  const killed: Record<string, number> = {}
  /** How long each command took when it last ended, so that the instants spread over all of it. */
  const lately: Record<string, number> = {}
  let refs = new Map<string, string>()
  let [count, ended] = [0, 0]
  while (count < kills) {
    const action = world.choose(random, refs)
    // Of each command the first ends, and some of the others do: else there would never be much to lose.
    const known = lately[action.kind]
    const wait = known === undefined || random.next() < 0.3 ? undefined : random.next() * 1.05 * known
    const { took, wasKilled } = await killAfter(root, action, wait)
    refs = await expectWhole(root, refs, action)
    if (wasKilled) {
      killed[action.kind] = (killed[action.kind] ?? 0) + 1
      if (++count % 20 === 0) say(`${count} of ${kills} killed`)
    } else {
      // Of late: the first start of all takes much longer than the others.
      lately[action.kind] = took
      ended++
    }
  }
  await cleanUp(root)
  await expectWhole(root, refs, undefined)
  return { killed, ended }
}

async function killAfter(
  root: string,
  action: Action,
  wait: number | undefined,
): Promise<{ readonly took: number; readonly wasKilled: boolean }> {
  const began = performance.now()
  const { child, ended } = start(root, action.args)
  const first = await (wait === undefined ? ended : Promise.race([ended, sleep(wait)]))
  child.kill('SIGKILL')
  const { code, err } = first ?? (await ended)
  if (code !== null && code !== 0) throw new Error(`${action.args.join(' ')} ended with ${code}: ${err}`)
  return { took: performance.now() - began, wasKilled: code === null }
}

async function cleanUp(root: string): Promise<void> {
  const { code, err } = await start(root, ['gc']).ended
  if (code !== 0) throw new Error(`gc ended with ${code}: ${err}`)
  const left = unfinishedIn(root)
  if (left.length > 0) throw new Error(`gc left ${left.join(', ')} in tmp`)
}
