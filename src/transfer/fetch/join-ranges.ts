import type { ByteSpan } from '../../content/unit-walk.ts'

/** Size of a request's head in each direction, about: a smaller gap is cheaper to read than to skip. */
const headBytes = 512
/** Share of the wanted bytes that may be spent on gaps to save requests. */
const gapShare = 0.02
/** Longest request; longer ones are cut, so that several connections share them and no answer takes much memory. */
const requestMax = 4 * 1024 * 1024

/**
 * Returns the requests for spans that are sorted and may touch or overlap: neighbours are joined over the smallest gaps
 * as long as these are a fiftieth of what is wanted.
 */
export function requestsFor(spans: readonly ByteSpan[]): ByteSpan[] {
  const merged = joined(spans, headBytes)
  const allowed = gapAllowed(merged)
  return joined(merged, allowed).flatMap(cut)
}

export function spanBytes(spans: readonly ByteSpan[]): number {
  return spans.reduce((sum, { start, end }) => sum + end - start, 0)
}

/**
 * Returns the largest gap to read over: the budget goes to the smallest gaps first, and to all of one length or none.
 */
function gapAllowed(spans: readonly ByteSpan[]): number {
  const gaps = spans.slice(1).map(({ start }, i) => start - (spans[i]?.end ?? start))
  let budget = spanBytes(spans) * gapShare
  let allowed = 0
  const lengths = Map.groupBy(gaps, (gap) => gap)
  for (const length of [...lengths.keys()].toSorted((a, b) => a - b)) {
    budget -= length * (lengths.get(length)?.length ?? 0)
    if (budget < 0) break
    allowed = length
  }
  return allowed
}

function joined(spans: readonly ByteSpan[], gap: number): ByteSpan[] {
  const out: ByteSpan[] = []
  for (const span of spans) {
    const last = out.at(-1)
    if (last === undefined || span.start - last.end > gap) out.push(span)
    else out[out.length - 1] = { start: last.start, end: Math.max(last.end, span.end) }
  }
  return out
}

function cut({ start, end }: ByteSpan): ByteSpan[] {
  const pieces = Math.ceil((end - start) / requestMax)
  const length = Math.ceil((end - start) / pieces)
  return Array.from({ length: pieces }, (_, i) => ({
    start: start + i * length,
    end: Math.min(end, start + (i + 1) * length),
  }))
}
