import type { FlagOption } from '../format-options.ts'
import type { WritingTools } from '../format.ts'
import type { OnLoss } from './reduce-entry.ts'

/** The choice of formats that cannot hold everything a layer may have. */
export const lossyOption = {
  kind: 'flag',
  help: 'write the nearest that can be held instead of refusing what cannot',
} as const satisfies FlagOption

/** Accepts losses, and tells them, where that was chosen. */
export function onLossOf({ lossy }: { readonly lossy?: boolean | undefined }, tools: WritingTools): OnLoss | undefined {
  if (lossy !== true) return undefined
  return (_, error) => tools.onWarning(`${error.message}; the nearest is written`)
}
