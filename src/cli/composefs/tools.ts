import { OnefoldError } from '../../error.ts'

/** A tool takes its arguments as strings with one char per byte; what it prints goes to stdout. */
type Tool = (args: readonly string[]) => Promise<void>

/** The tools by name; only the one that is asked for is loaded. */
const tools: Readonly<Record<string, () => Promise<Tool>>> = {
  mkcomposefs: async () => (await import('./mkcomposefs.ts')).mkcomposefs,
  'composefs-info': async () => (await import('./composefs-info.ts')).composefsInfo,
  'composefs-dump': async () => (await import('./composefs-dump.ts')).composefsDump,
  'mount.composefs': async () => (await import('./mount-composefs.ts')).mountComposefs,
}

/** Runs one of composefs' tools; `err` is what belongs on stderr, one char per byte. */
export async function runTool(name: string, args: readonly string[]): Promise<{ status: 0 | 1; err: string }> {
  try {
    const load = tools[name]
    if (load === undefined) throw new OnefoldError('NOT_FOUND', 'Cannot run it: there is no such tool')
    const tool = await load()
    await tool(args)
    return { status: 0, err: '' }
  } catch (error) {
    return { status: 1, err: report(name, error) }
  }
}

/** The text for stderr: a message about usage alone, as getopt(3) and fprintf leave it, any other behind the tool's name, as of err(3). */
function report(name: string, error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  if (!(error instanceof OnefoldError) || error.code !== 'USAGE') return `${name}: ${message}\n`
  return `${[message, error.hint].filter((text) => text !== undefined && text !== '').join('\n')}\n`
}
