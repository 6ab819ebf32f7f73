import type { PlannedLayer, PullPlan } from '../transfer/pull/plan-pull.ts'
import { formatBytes, type Output } from './output.ts'

/** Prints what a pull would do, for people. */
export function printPlan(out: Output, plan: PullPlan): void {
  for (const { manifest, platform, layers } of plan.images) {
    out.line(`image      ${manifest}  ${platform}`)
    for (const layer of layers) printLayer(out, layer)
  }
  const { total } = plan
  const reused = total.fileBytes + total.chunkBytes + total.sameBytes + total.zeroBytes
  out.line(`to fetch   ${formatBytes(total.fetchBytes)} in ${total.requests} requests`)
  if (total.tableBytes > 0) out.line(`  tables   ${formatBytes(total.tableBytes)}, read for this plan`)
  out.line(`not        ${formatBytes(reused)} of files`)
  for (const [where, bytes] of sourcesOf(total)) out.line(`  ${where}`.padEnd(28) + formatBytes(bytes))
}

function printLayer(out: Output, layer: PlannedLayer): void {
  const { blob, size, how, why, proof, format, fetchBytes, requests } = layer
  out.line(`layer      ${blob}  ${formatBytes(size)}`)
  out.line(`  ${how.padEnd(8)} ${why}${format === undefined ? '' : ` (${format})`}`)
  if (how === 'present') return
  out.line(`  fetch    ${formatBytes(fetchBytes)} in ${requests} requests`)
  for (const [where, bytes] of sourcesOf(layer)) out.line(`  ${where}`.padEnd(28) + formatBytes(bytes))
  if (how === 'parts') out.line(`  proof    ${proof}`)
}

function sourcesOf(
  count: Pick<PlannedLayer, 'fileBytes' | 'chunkBytes' | 'sameBytes' | 'zeroBytes'>,
): [string, number][] {
  const sources: [string, number][] = [
    ['files of the store', count.fileBytes],
    ['parts of other files', count.chunkBytes],
    ['twice in the image', count.sameBytes],
    ['holes', count.zeroBytes],
  ]
  return sources.filter(([, bytes]) => bytes > 0)
}
