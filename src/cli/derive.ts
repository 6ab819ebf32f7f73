import { OnefoldError } from '../error.ts'
import type { DeriveOptions, DerivedImage } from '../transfer/commit/derive-image.ts'
import type { Call } from './command.ts'
import { formatBytes } from './output.ts'
import type { Progress } from './progress.ts'
import { limitsOf } from './shared-options.ts'

/** Options of commands that make a new image from what is there. */
export const deriveOptions = {
  change: {
    short: 'c',
    value: 'INSTRUCTION',
    multiple: true,
    help: 'change the config: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME or WORKDIR',
  },
  message: { short: 'm', value: 'TEXT', help: 'say in the history what was done' },
  author: { short: 'a', value: 'NAME', help: 'say who did it' },
  timestamp: {
    value: 'SECONDS',
    help: 'date the image to this time since 1970 (default: $SOURCE_DATE_EPOCH, else now)',
  },
} as const

export function deriveOptionsOf({ options, out, signal }: Call, progress: Progress): DeriveOptions {
  return {
    changes: options.texts('change'),
    message: options.text('message'),
    author: options.text('author'),
    created: timestampOf(options.text('timestamp')),
    limits: limitsOf(options),
    onWarning: out.note,
    onProgress: progress.event,
    signal,
  }
}

function timestampOf(text: string | undefined): number | undefined {
  if (text === undefined || /^-?\d{1,12}$/.test(text)) return text === undefined ? undefined : Number(text)
  throw new OnefoldError('USAGE', `Cannot read --timestamp ${JSON.stringify(text)}: expected seconds since 1970`)
}

export function printDerived({ out }: Call, image: DerivedImage): void {
  if (out.json) return out.value({ ...image, layer: image.layer ?? null })
  out.line(image.manifest)
  const { files, newObjects, newBytes } = image.stats
  if (image.layer === undefined)
    out.note(`${image.name}: no file differs from the image below, so there is no new layer`)
  else
    out.note(
      `${image.name}: layer ${image.layer} of ${files} files, ${newObjects} (${formatBytes(newBytes)}) new to the store`,
    )
}
