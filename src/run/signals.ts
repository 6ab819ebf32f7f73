import { constants } from 'node:os'
import { isatty } from 'node:tty'
import type { ChildProcess } from 'node:child_process'

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const
/** Signals that a terminal sends to everybody in the foreground at once when the user presses ^C or ^\. */
const fromTerminal: readonly string[] = ['SIGINT', 'SIGQUIT']

/**
 * Forwards signals that reach us to the child, as long as it is in use; they do not end us: the child's end does.
 * SIGTERM becomes the signal that the image wants to be stopped with. It must be called before the child is started: a
 * signal that comes between the two is delivered after both.
 */
export function forwardSignals(child: () => ChildProcess, stopSignal: NodeJS.Signals = 'SIGTERM'): Disposable {
  const atTerminal = isatty(0)
  const handlers = forwarded.map((signal) => {
    const handler = (): void => {
      if (atTerminal && fromTerminal.includes(signal)) return
      child().kill(signal === 'SIGTERM' ? stopSignal : signal)
    }
    process.on(signal, handler)
    return [signal, handler] as const
  })
  return {
    [Symbol.dispose]() {
      for (const [signal, handler] of handlers) process.off(signal, handler)
    },
  }
}

/** Parses `SIGQUIT`, `QUIT` or `3`, as an image may have it; undefined for what is no signal here. */
export function parseSignal(text: string): NodeJS.Signals | undefined {
  const name = /^\d+$/.test(text)
    ? Object.entries(constants.signals).find(([, number]) => number === Number(text))?.[0]
    : `SIG${text.toUpperCase().replace(/^SIG/, '')}`
  return name !== undefined && name in constants.signals ? (name as NodeJS.Signals) : undefined
}

/** Returns the code that a shell would report: the program's own, or 128 and the signal that ended it. */
export function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal])
}
