import { spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { tortureByCrowd } from './crowd.ts'
import { tortureByKills } from './kills.ts'
import { tortureByPower } from './power.ts'
import { Random } from './random.ts'

const usage = `Usage: npm run torture -- [PART…] [--kills N] [--cuts N] [--seconds N] [--seed N]

Does to stores what computers do to them, and checks after each blow that fsck finds nothing and every name is as it was,
or as it should have become. Needs root for power cuts.

  kills   kill -9 of pull, push, import, tag, rm and gc at random instants
  power   power cuts of ext4 and XFS below the same commands
  crowd   two processes that pull, one that removes and one that collects, at once

  --kills N    how many (default 200)
  --cuts N     how many power cuts (default 50)
  --seconds N  how long the crowd goes on (default 180)
  --seed N     chooses commands and instants (default: random, and printed); what a machine makes of them differs`

/**
 * A mount namespace of our own: whoever makes another one meanwhile would get a copy of a disk that we shut down, and
 * keep its file system alive.
 */
const isApart = process.env['ONEFOLD_TORTURE_APART'] !== undefined || process.getuid?.() !== 0
process.exitCode = isApart ? await main() : apart()

function apart(): number {
  const args = ['--mount', '--propagation', 'private', process.execPath, ...process.argv.slice(1)]
  const env = { ...process.env, ONEFOLD_TORTURE_APART: '1' }
  return spawnSync('unshare', args, { stdio: 'inherit', env }).status ?? 1
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      kills: { type: 'string', default: '200' },
      cuts: { type: 'string', default: '50' },
      seconds: { type: 'string', default: '180' },
      seed: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  const [kills, cuts, seconds] = [values.kills, values.cuts, values.seconds].map(Number)
  const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed)
  const parts: Readonly<Record<string, (say: (line: string) => void) => Promise<unknown>>> = {
    kills: (say) => tortureByKills(new Random(seed), kills ?? 0, say),
    power: (say) => tortureByPower(new Random(seed + 1), cuts ?? 0, say),
    crowd: (say) => tortureByCrowd(seconds ?? 0, say),
  }
  const unknown = positionals.filter((name) => parts[name] === undefined)
  if (values.help === true || unknown.length > 0 || ![kills, cuts, seconds, seed].every(Number.isSafeInteger)) {
    console.log(usage)
    return values.help === true ? 0 : 2
  }
  console.log(`seed ${seed}`)
  let failed = 0
  for (const [name, run] of Object.entries(parts)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue
    const began = performance.now()
    const took = (): string => `${((performance.now() - began) / 1000).toFixed(0)} s`
    try {
      const report = await run((line) => console.log(`${name}: ${line}`))
      console.log(`${name}: ok, ${took()}: ${JSON.stringify(report)}`)
    } catch (error) {
      failed++
      console.log(`${name}: FAILED after ${took()}, with seed ${seed}:`, error)
    }
  }
  return failed === 0 ? 0 : 1
}
