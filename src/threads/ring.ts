/**
 * A ring of byte slots between one producer and one consumer in different threads. The producer fills a slot in place
 * and publishes it; the consumer reads it in place and releases it: no byte is copied on the way.
 *
 *     state   Int32[4]        published, released (counts since the start), ended (0 | 1 done | 2 given up), tick
 *     lengths Int32[slots]    bytes used in each slot
 *     data    slots × slotBytes
 */
export interface RingMemory {
  readonly control: SharedArrayBuffer
  readonly data: SharedArrayBuffer
  readonly slots: number
}

const PUBLISHED = 0
const RELEASED = 1
const ENDED = 2
/** Counts every change; both sides sleep on it alone, so that no change can slip in between looking and sleeping. */
const TICK = 3
const stateWords = 4

type Ending = 'done' | 'aborted'

/** Thrown by either side when the other has given up; whoever gave up has reported why. */
export class RingAborted extends Error {
  override readonly name = 'RingAborted'
}

export function ringMemory(slots: number, slotBytes: number): RingMemory {
  return {
    control: new SharedArrayBuffer((stateWords + slots) * 4),
    data: new SharedArrayBuffer(slots * slotBytes),
    slots,
  }
}

export class Ring {
  readonly #state: Int32Array
  readonly #lengths: Int32Array
  readonly #views: readonly Uint8Array[]

  constructor(memory: RingMemory) {
    this.#state = new Int32Array(memory.control, 0, stateWords)
    this.#lengths = new Int32Array(memory.control, stateWords * 4)
    const slotBytes = memory.data.byteLength / memory.slots
    this.#views = Array.from(
      { length: memory.slots },
      (_, slot) => new Uint8Array(memory.data, slot * slotBytes, slotBytes),
    )
  }

  /** Makes the ring ready for the next stream. Neither side may be using it. */
  reset(): void {
    this.#state.fill(0)
  }

  /** @throws RingAborted when either side has given up */
  throwIfAborted(): void {
    if (Atomics.load(this.#state, ENDED) === 2) throw new RingAborted()
  }

  /** Returns the next free slot to the producer, which waits for one if need be. */
  claim(): Uint8Array {
    for (;;) {
      const tick = Atomics.load(this.#state, TICK)
      const slot = this.#free()
      if (slot !== undefined) return slot
      Atomics.wait(this.#state, TICK, tick)
    }
  }

  /** Does what claim() does on a thread that must not block. */
  async claimAsync(): Promise<Uint8Array> {
    for (;;) {
      const tick = Atomics.load(this.#state, TICK)
      const slot = this.#free()
      if (slot !== undefined) return slot
      await Atomics.waitAsync(this.#state, TICK, tick).value
    }
  }

  #free(): Uint8Array | undefined {
    this.throwIfAborted()
    const published = Atomics.load(this.#state, PUBLISHED)
    if (published - Atomics.load(this.#state, RELEASED) === this.#views.length) return undefined
    return this.#views[published % this.#views.length]
  }

  /** Hands the first `length` bytes of the slot that claim() gave over to the consumer. */
  publish(length: number): void {
    const published = Atomics.load(this.#state, PUBLISHED)
    this.#lengths[published % this.#views.length] = length
    Atomics.store(this.#state, PUBLISHED, published + 1)
    this.#changed()
  }

  /** Returns the oldest published bytes to the consumer, valid until release(); undefined when the producer is done. */
  take(): Uint8Array | undefined {
    for (;;) {
      const tick = Atomics.load(this.#state, TICK)
      const released = Atomics.load(this.#state, RELEASED)
      const ended = Atomics.load(this.#state, ENDED)
      if (ended === 2) throw new RingAborted()
      if (Atomics.load(this.#state, PUBLISHED) !== released) {
        const slot = released % this.#views.length
        return this.#views[slot]?.subarray(0, this.#lengths[slot])
      }
      if (ended === 1) return undefined
      Atomics.wait(this.#state, TICK, tick)
    }
  }

  /** Gives the slot of take() back to the producer. */
  release(): void {
    Atomics.add(this.#state, RELEASED, 1)
    this.#changed()
  }

  /** Tells the other side that no more will come ('done', by the producer), or that this side gives up ('aborted'). */
  end(how: Ending): void {
    Atomics.store(this.#state, ENDED, how === 'done' ? 1 : 2)
    this.#changed()
  }

  #changed(): void {
    Atomics.add(this.#state, TICK, 1)
    Atomics.notify(this.#state, TICK)
  }
}
