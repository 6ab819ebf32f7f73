/** Stream with a result at its end, which `for await` would drop. */
export interface StreamWithResult<T, R> {
  readonly stream: AsyncGenerator<T, void>
  /** Returns what the generator returned; may be called once the stream has been read to its end. */
  readonly result: () => R
}

/** Splits a generator into what it yields and what it returns. */
export function withResult<T, R>(generator: AsyncGenerator<T, R>): StreamWithResult<T, R> {
  let returned: { readonly value: R } | undefined
  return {
    stream: (async function* () {
      returned = { value: yield* generator }
    })(),
    result: () => {
      if (returned === undefined) throw new Error('a stream was not read to its end')
      return returned.value
    },
  }
}
