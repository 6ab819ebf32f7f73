import type { CheckEvent } from '../store/store.ts'
import type { PullEvent } from '../transfer/progress.ts'
import { formatBytes, type Output } from './output.ts'

/** Time before anything is shown: work that ends earlier shows nothing. */
const patienceMs = 1000
const terminalMs = 100
const lineMs = 2000
const barWidth = 24

interface LayerState {
  readonly size: number
  done: number
  finished: boolean
}

export interface Progress extends Disposable {
  readonly event: (event: PullEvent | CheckEvent) => void
  /** Takes everything shown off the terminal again. */
  readonly end: () => void
}

/** Shows progress on stderr: per-layer bars on a terminal, a line now and then elsewhere, nothing when quiet. */
export function showProgress(out: Output): Progress {
  if (out.quiet) return { event() {}, end() {}, [Symbol.dispose]() {} }
  const layers = new Map<string, LayerState>()
  let step = 'resolving'
  let drawn = 0
  const terminal = process.stderr.isTTY
  const draw = terminal ? drawBars : drawLine
  let timer: NodeJS.Timeout | undefined = setTimeout(() => {
    draw()
    timer = setInterval(draw, terminal ? terminalMs : lineMs).unref()
  }, patienceMs).unref()
  return { event, end, [Symbol.dispose]: end }

  function event(event: PullEvent | CheckEvent): void {
    switch (event.type) {
      case 'layer':
        layers.set(event.digest, { size: event.size, done: event.done, finished: event.finished })
        break
      case 'step':
        step = event.step
        break
      case 'check':
        step = `${event.step}: ${event.files}, ${formatBytes(event.bytes)} read`
        break
    }
  }

  function drawBars(): void {
    const rows = [...layers].map(([digest, layer]) => `${shortDigest(digest)} ${bar(layer)} ${amount(layer)}`)
    rows.push(step)
    process.stderr.write(`${erase()}${rows.join('\n')}\n`)
    drawn = rows.length
  }

  function drawLine(): void {
    const states = [...layers.values()]
    if (states.length === 0) return void process.stderr.write(`${step}\n`)
    const done = states.reduce((sum, layer) => sum + layer.done, 0)
    const size = states.reduce((sum, layer) => sum + layer.size, 0)
    const finished = states.filter((layer) => layer.finished).length
    const layersDone = `${finished} of ${states.length} layers`
    process.stderr.write(`${step}: ${layersDone}, ${formatBytes(done)} of ${formatBytes(size)}\n`)
  }

  function erase(): string {
    return drawn === 0 ? '' : `\x1b[${drawn}A\x1b[J`
  }

  function end(): void {
    clearTimeout(timer)
    if (terminal && drawn > 0) process.stderr.write(erase())
    drawn = 0
    timer = undefined
  }
}

function bar({ size, done, finished }: LayerState): string {
  const filled = finished || size === 0 ? barWidth : Math.floor((done / size) * barWidth)
  return `[${'='.repeat(filled)}${' '.repeat(barWidth - filled)}]`
}

function amount({ size, done, finished }: LayerState): string {
  return finished ? `${formatBytes(size)} done` : `${formatBytes(done)} of ${formatBytes(size)}`
}

function shortDigest(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1).slice(0, 12)
}
