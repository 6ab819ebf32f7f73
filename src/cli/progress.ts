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
  end(): void
}

/** Shows progress on stderr: per-layer bars on a terminal, a line now and then elsewhere, nothing when quiet. */
export function showProgress(out: Output): Progress {
  if (out.quiet) return { event() {}, end() {}, [Symbol.dispose]() {} }
  return process.stderr.isTTY ? new ProgressBars() : new ProgressLines()
}

/** State of a long operation, shown again and again once it takes longer than `patienceMs`. */
abstract class ProgressDisplay implements Progress {
  protected readonly layers = new Map<string, LayerState>()
  protected step = 'resolving'
  #timer: NodeJS.Timeout

  constructor(intervalMs: number) {
    this.#timer = setTimeout(() => {
      this.draw()
      this.#timer = setInterval(() => this.draw(), intervalMs).unref()
    }, patienceMs).unref()
  }

  readonly event = (event: PullEvent | CheckEvent): void => {
    switch (event.type) {
      case 'layer':
        this.layers.set(event.digest, { size: event.size, done: event.done, finished: event.finished })
        break
      case 'step':
        this.step = event.step
        break
      case 'check':
        this.step = `${event.step}: ${event.files}, ${formatBytes(event.bytes)} read`
        break
    }
  }

  end(): void {
    clearTimeout(this.#timer)
    this.erase()
  }

  [Symbol.dispose](): void {
    this.end()
  }

  protected abstract draw(): void

  protected abstract erase(): void
}

class ProgressBars extends ProgressDisplay {
  /** Number of rows that are on the terminal now. */
  #rows = 0

  constructor() {
    super(terminalMs)
  }

  protected draw(): void {
    const rows = [...this.layers].map(([digest, layer]) => `${shortDigest(digest)} ${bar(layer)} ${amount(layer)}`)
    rows.push(this.step)
    process.stderr.write(`${this.#upToFirstRow()}${rows.join('\n')}\n`)
    this.#rows = rows.length
  }

  protected erase(): void {
    if (this.#rows > 0) process.stderr.write(this.#upToFirstRow())
    this.#rows = 0
  }

  /** Returns the order that goes back to the first row and clears all below it. */
  #upToFirstRow(): string {
    return this.#rows === 0 ? '' : `\x1b[${this.#rows}A\x1b[J`
  }
}

class ProgressLines extends ProgressDisplay {
  constructor() {
    super(lineMs)
  }

  protected draw(): void {
    const states = [...this.layers.values()]
    if (states.length === 0) return void process.stderr.write(`${this.step}\n`)
    const done = states.reduce((sum, layer) => sum + layer.done, 0)
    const size = states.reduce((sum, layer) => sum + layer.size, 0)
    const finished = states.filter((layer) => layer.finished).length
    const layersDone = `${finished} of ${states.length} layers`
    process.stderr.write(`${this.step}: ${layersDone}, ${formatBytes(done)} of ${formatBytes(size)}\n`)
  }

  protected erase(): void {}
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
