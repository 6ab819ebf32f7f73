import { OnefoldError } from '../../error.ts'
import type { DamageKind, DamageState } from './fsck-report.ts'

/** Damage while it is being looked for. */
export interface Found {
  readonly kind: DamageKind
  readonly name: string
  problem: string
  state: DamageState
  readonly file: string
  /** Digests of recipes and manifests that need it. */
  readonly users: Set<string>
  /** Names that suffer without an image in between. */
  readonly names: Set<string>
  /** Whether it must keep its name for now, damaged as it is. */
  stays?: boolean
  quarantined?: string
}

export interface Finding {
  readonly kind: DamageKind
  readonly name: string
  /** Path below the root. */
  readonly file: string
  readonly state: DamageState
  readonly problem: string
}

/** One damaged thing is one finding: what was found first about it stays, unless worse is found later. */
export class Findings {
  readonly #found = new Map<string, Found>()

  add(finding: Finding): Found {
    const key = `${finding.kind} ${finding.name}`
    const found = this.#found.get(key) ?? { ...finding, users: new Set(), names: new Set() }
    if (found.state === 'exposed' && finding.state !== 'exposed') {
      found.state = finding.state
      found.problem = finding.problem
    }
    this.#found.set(key, found)
    return found
  }

  get(kind: DamageKind, name: string): Found | undefined {
    return this.#found.get(`${kind} ${name}`)
  }

  /** Notes who needs something, if that is damaged. */
  use(kind: DamageKind, name: string, user: string): void {
    this.get(kind, name)?.users.add(user)
  }

  all(): Found[] {
    return [...this.#found.values()]
  }

  /** Reads; an error is what is looked for, noted, and undefined is returned then. */
  try<T>(what: Omit<Finding, 'state' | 'problem'>, read: () => T): T | undefined {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof OnefoldError)) throw error
      this.add({ ...what, state: 'broken', problem: error.message })
      return undefined
    }
  }
}
