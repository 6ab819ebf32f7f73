/** Work that is on its way. The first failure is kept for whoever waits; later ones are dropped. */
export class Pending {
  #count = 0
  #failure: { readonly error: unknown } | undefined
  #change = Promise.withResolvers<void>()

  add(work: Promise<void>): void {
    this.#count++
    work.then(
      () => this.#settled(),
      (error: unknown) => {
        this.#failure ??= { error }
        this.#settled()
      },
    )
  }

  /** Waits until at most `most` are on their way. Throws the first failure of any, as soon as there is one. */
  async until(most: number): Promise<void> {
    while (this.#failure === undefined && this.#count > most) await this.#change.promise
    if (this.#failure !== undefined) throw this.#failure.error
  }

  #settled(): void {
    this.#count--
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }
}
