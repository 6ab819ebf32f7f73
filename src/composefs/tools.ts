/** A tool takes its arguments as strings with one char per byte, and returns its exit status. */
export type Tool = (args: readonly string[]) => Promise<number>

export type ToolName = keyof typeof tools

/** Only the tool that is asked for is loaded. */
export const tools = {
  mkcomposefs: async (): Promise<Tool> => (await import('./mkcomposefs.ts')).mkcomposefs,
  'composefs-info': async (): Promise<Tool> => (await import('./info.ts')).composefsInfo,
  'composefs-dump': async (): Promise<Tool> => (await import('./rewrite.ts')).composefsDump,
  'mount.composefs': async (): Promise<Tool> => (await import('./mount.ts')).mountComposefs,
}

export function isTool(name: string): name is ToolName {
  return Object.hasOwn(tools, name)
}
