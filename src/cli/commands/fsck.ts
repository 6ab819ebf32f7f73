import type { Damage, FsckOptions, FsckReport } from '../../store/store.ts'
import type { RepairReport } from '../../transfer/repair/repair.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import type { Call, Command, Options } from '../command.ts'
import { exitCodes } from '../globals.ts'
import { openCallStore } from '../image.ts'
import { type Output, formatBytes, printableName, safeText } from '../output.ts'
import { type Progress, showProgress } from '../progress.ts'
import { limitOptions, limitsOf, sourceOptions, sourceOptionsOf } from '../shared-options.ts'
import { usageUnless } from '../usage.ts'

/** Number of paths that are shown of each image; all of them are in the JSON. */
const pathsShown = 20

export const fsck: Command = {
  operands: '',
  about: [
    'Checks everything the store claims: objects, recipes, images and blobs against their names, records and names against',
    'what they lead to, owners and modes. What is damaged is moved to the folder "quarantine" of the store, so that nobody',
    'takes it for whole, and listed with every image and every file that suffers. --repair mends: from what the store has',
    'where that is enough, else from where the image was pulled; only what is missing is fetched. Without it, pulling an',
    'image again does the same for that image.',
    '',
    'Exit code 0: no damage. 4: damage is left. 5: there was damage, and --repair has mended all of it. Platforms that were',
    'never pulled are no damage, and neither are files that are not ours ("stray").',
  ].join('\n'),
  options: {
    repair: { help: 'mend what is damaged' },
    from: { value: 'SOURCE', help: 'with --repair: fetch from here, in place of where each image came from' },
    'dry-run': { help: 'change nothing: only say what is damaged' },
    rebuild: { help: 'also build every tar again and compare it with its diffID, and compose every image again' },
    changed: { help: 'read only what has changed since the last check that found nothing' },
    sample: { value: 'N[%]', help: 'read only N of the objects, or N % of them' },
    seed: { value: 'TEXT', help: 'with --sample: which ones; the same text means the same objects' },
    ...sourceOptions,
    ...limitOptions,
  },
  examples: [
    { command: 'onefold fsck', meaning: 'before trusting a disk again' },
    { command: 'onefold fsck --repair', meaning: 'find damage, and fetch what was lost' },
    { command: 'onefold fsck --sample 5%', meaning: 'every night another twentieth' },
    { command: 'onefold fsck --dry-run --json | jq .damage', meaning: 'what is damaged, for a script' },
  ],
  async run(call) {
    const { operands, options, out } = call
    usageUnless(operands.length === 0, 'fsck takes no operands', 'fsck')
    const repair = options.flag('repair')
    usageUnless(!(repair && options.flag('dry-run')), 'fsck takes --repair or --dry-run, not both', 'fsck')
    usageUnless(repair || options.text('from') === undefined, 'fsck takes --from together with --repair', 'fsck')
    const sampled = options.text('sample') !== undefined
    usageUnless(sampled || options.text('seed') === undefined, 'fsck takes --seed together with --sample', 'fsck')
    using progress = showProgress(out)
    return repair ? await repairAll(call, progress) : await checkAll(call, progress)
  },
  /** Returns the exit code for a store that cannot even be opened for its damage. */
  exitCode: (error) => (hasCode(error, 'CORRUPT') || hasCode(error, 'BAD_FORMAT') ? exitCodes.damage : undefined),
}

async function checkAll(call: Call, progress: Progress): Promise<number> {
  const { options, out } = call
  await using store = await openCallStore(call, false)
  const report = await store.fsck({
    ...checkOptions(call),
    dryRun: options.flag('dry-run'),
    onProgress: progress.event,
  })
  progress.end()
  if (out.json) out.value({ ...report, damage: await withNames(report.damage) })
  else {
    for (const damage of report.damage) showDamage(out, damage)
    showRest(out, report, report.damage.length === 0 ? 'no damage' : `${report.damage.length} damaged`)
  }
  return report.clean ? exitCodes.ok : exitCodes.damage
}

async function repairAll(call: Call, progress: Progress): Promise<number> {
  const { options, out, signal } = call
  const { openDamagedStore } = await import('../../store/store.ts')
  const { repairStore } = await import('../../transfer/repair/repair.ts')
  await using store = await openDamagedStore(call.storeRoot)
  const report = await repairStore(store, {
    ...checkOptions(call),
    from: options.text('from'),
    source: sourceOptionsOf(options, out.note, signal),
    limits: limitsOf(options),
    onProgress: progress.event,
  })
  progress.end()
  if (out.json) out.value({ ...report, found: await withNames(report.found), left: await withNames(report.left) })
  else showRepair(out, report)
  if (!report.clean) return exitCodes.damage
  return report.found.length === 0 ? exitCodes.ok : exitCodes.repaired
}

function checkOptions({ options, signal }: Call): FsckOptions {
  return { rebuild: options.flag('rebuild'), changed: options.flag('changed'), sample: sampleOf(options), signal }
}

function sampleOf(options: Options): FsckOptions['sample'] {
  const text = options.text('sample')
  const seed = options.text('seed')
  if (text === undefined) return undefined
  const [, number = '', percent] = /^(\d+(?:\.\d+)?)(%?)$/.exec(text) ?? []
  const value = Number(number)
  const isGood = number !== '' && (percent === '%' ? value <= 100 : Number.isSafeInteger(value))
  if (!isGood)
    throw new OnefoldError(
      'USAGE',
      `Cannot read --sample ${JSON.stringify(text)}: expected a number, or 0 to 100 and "%"`,
    )
  return { ...(percent === '%' ? { percent: value } : { count: value }), seed }
}

/** Returns the damage with paths as `ls --json` has names: text, or the bytes where they are none. */
async function withNames(damage: readonly Damage[]): Promise<object[]> {
  const { jsonBytes } = await import('../../image/tree-json.ts')
  return damage.map((each) => ({
    ...each,
    affected: each.affected.map((image) => ({ ...image, paths: image.paths.map(jsonBytes) })),
  }))
}

function showRepair(out: Output, report: RepairReport): void {
  const { found, left, failures } = report
  for (const damage of found) showDamage(out, damage)
  if (left.length > 0) out.line('left:')
  for (const damage of left) showDamage(out, damage)
  for (const { what, message } of failures) out.line(`could not mend ${safeText(what)}: ${safeText(message)}`)
  const mended = `${found.length} damaged, ${left.length === 0 ? 'all mended' : `${left.length} still are`}`
  showRest(out, report, found.length === 0 ? 'no damage' : mended)
}

function showDamage(out: Output, { kind, name, problem, images, affected, quarantined }: Damage): void {
  const names = images.length === 0 ? '' : `; affects ${images.join(', ')}`
  const place = quarantined === undefined ? '' : `; moved to ${quarantined}`
  out.line(safeText(`${kind} ${name}: ${problem}${names}${place}`))
  for (const { manifest, names: own, paths } of affected) {
    const image = own[0] ?? manifest
    for (const path of paths.slice(0, pathsShown)) out.line(`  ${safeText(image)}: ${printableName(path)}`)
    if (paths.length > pathsShown) out.line(`  ${image}: and ${paths.length - pathsShown} more files`)
  }
}

function showRest(out: Output, report: Omit<FsckReport, 'damage'>, verdict: string): void {
  for (const stray of report.strays) out.line(`stray file ${JSON.stringify(stray)}`)
  const { objects, objectBytes, hashed, recipes, images, blobs, records, refs } = report.checked
  if (report.index === 'damaged' || report.index === 'foreign')
    out.note(`index.db is ${report.index}, which harms nothing: the next pull makes it again`)
  const read = hashed === objects ? '' : `, ${hashed} of them read`
  const seed = report.seed === undefined ? '' : ` (sample "${report.seed}")`
  out.note(
    `checked ${objects} objects (${formatBytes(objectBytes)})${read}${seed}, ${recipes} layers, ${images} images, ` +
      `${blobs} blobs, ${records} records and ${refs} names: ${verdict}`,
  )
}
