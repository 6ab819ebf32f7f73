import type { OptionSpecs } from '../format-options.ts'
import { lossyOption } from '../toc-json/loss-option.ts'

export const chunkedOptions = { lossy: lossyOption } as const satisfies OptionSpecs
