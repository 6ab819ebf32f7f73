/** Program of `npm run man`: writes all manual pages into the folder it is given. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { CommandEntry } from './command.ts'
import { commandTable } from './commands.ts'
import { commandPage, programPage } from './man.ts'

const [folder = 'man'] = process.argv.slice(2)
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}
const commands: Readonly<Record<string, CommandEntry>> = commandTable

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
writeFileSync(`${folder}/onefold.1`, programPage(version, commands))
for (const [name, entry] of Object.entries(commands))
  writeFileSync(`${folder}/onefold-${name}.1`, commandPage(version, name, entry.summary, await entry.load()))
