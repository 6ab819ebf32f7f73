import { setTimeout as sleep } from 'node:timers/promises'
import { openStore } from '../../src/store/store.ts'
import { LoopDisk, ext4, xfs } from '../fixtures/loop-disk.ts'
import { scratch } from '../fixtures/scratch.ts'
import { type Action, type World, applied, expectWhole, makeWorld, start } from './actions.ts'
import type { Random } from './random.ts'

export interface PowerReport {
  readonly cuts: Readonly<Record<string, number>>
  /** Commands that had reported success before the power failed, and had to be found again. */
  readonly done: number
  /** Those that it failed under. */
  readonly interrupted: number
}

const disks = [
  { mkfs: ext4, megabytes: 256 },
  { mkfs: xfs, megabytes: 320 },
] as const

/** Within this time, a few commands run. */
const longestMs = 3500

/** Cuts the power of loop file systems at random instants below running commands, and checks the store on them. */
export async function tortureByPower(random: Random, cuts: number, say: (line: string) => void): Promise<PowerReport> {
  const counted: Record<string, number> = {}
  let [done, interrupted] = [0, 0]
  for (const [index, { mkfs, megabytes }] of disks.entries()) {
    const rounds = Math.floor((cuts + disks.length - 1 - index) / disks.length)
    using place = scratch('torture')
    await using world = await makeWorld(place.path)
    using disk = new LoopDisk(place.path, megabytes * 2 ** 20, mkfs)
    const root = `${disk.path}/store`
    await (await openStore(root))[Symbol.asyncDispose]()
    let refs = new Map<string, string>()
    for (let round = 1; round <= rounds; round++) {
      const state = await cutOnce(random, world, disk, root, refs)
      refs = await expectWhole(root, state.refs, state.unfinished)
      done += state.done
      interrupted += state.unfinished === undefined ? 0 : 1
      if (round % 5 === 0) say(`${mkfs[0]}: ${round} of ${rounds} power cuts`)
    }
    counted[mkfs[0]] = rounds
  }
  return { cuts: counted, done, interrupted }
}

interface State {
  readonly refs: Map<string, string>
  readonly unfinished: Action | undefined
  readonly done: number
}

async function cutOnce(
  random: Random,
  world: World,
  disk: LoopDisk,
  root: string,
  before: Map<string, string>,
): Promise<State> {
  let refs = before
  let done = 0
  let isDown = false
  const cut = sleep(random.next() * longestMs).then(() => {
    disk.shutDown()
    isDown = true
  })
  let unfinished: Action | undefined
  while (!isDown) {
    const action = world.choose(random, refs)
    const { child, ended } = start(root, action.args)
    const outcome = await Promise.race([ended, cut])
    child.kill('SIGKILL')
    const { code, err } = outcome ?? (await ended)
    if (code === 0 && !isDown) {
      refs = applied(refs, action, root)
      done++
    } else if (isDown) unfinished = action
    else throw new Error(`${action.args.join(' ')} ended with ${code}: ${err}`)
  }
  await cut
  disk.cutPower()
  return { refs, unfinished, done }
}
