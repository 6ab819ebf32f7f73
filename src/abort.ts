/** The last argument of what may take long. */
export interface AbortOptions {
  /** Stops the work, which rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}
