import type { OptionSpecs } from '../format-options.ts'
import { lossyOption } from '../toc-json/loss-option.ts'

export const erofsTarOptions = { lossy: lossyOption } as const satisfies OptionSpecs
