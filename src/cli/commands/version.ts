import { readFile } from 'node:fs/promises'
import { release } from 'node:os'
import type { Command } from '../command.ts'

export const version: Command = {
  operands: '',
  about: 'Prints the version of onefold, and of Node and the kernel it runs on.',
  options: {},
  examples: [{ command: 'onefold version --json', meaning: 'for a bug report' }],
  async run({ out }) {
    const onefold = await packageVersion()
    const found = { onefold, node: process.versions.node, kernel: release(), architecture: process.arch }
    if (out.json) return out.value(found)
    out.line(`onefold ${onefold} (Node ${found.node}, Linux ${found.kernel}, ${found.architecture})`)
  },
}

async function packageVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(new URL('../../../package.json', import.meta.url), 'utf8'))
  const known = typeof manifest === 'object' && manifest !== null && 'version' in manifest
  return known && typeof manifest.version === 'string' ? manifest.version : 'unknown'
}
