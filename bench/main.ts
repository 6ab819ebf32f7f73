import { parseArgs } from 'node:util'
import { again } from './again.ts'
import { buildImages } from './build.ts'
import { chunking } from './chunks.ts'
import { composefs } from './composefs.ts'
import { composing } from './compose.ts'
import { disk } from './disk.ts'
import { usage } from './du.ts'
import { checking } from './fsck.ts'
import { converting, indexing } from './convert.ts'
import { collecting } from './gc.ts'
import { collection } from './images.ts'
import { memory } from './memory.ts'
import { mounting } from './mounting.ts'
import { exportArchive, exportTar } from './export.ts'
import { pushing } from './push.ts'
import { type Options, pullApp, pullHundred, pullRebuild } from './pull.ts'
import { reading } from './reading.ts'
import { type Report, machine, printReport, writeReport } from './report.ts'
import { starting } from './starting.ts'
import { update } from './update.ts'

const benches: Readonly<Record<string, readonly [what: string, run: (options: Options) => Promise<Report>]>> = {
  pull: ['pull and store a 4-layer image', pullApp],
  rebuild: ['pull its rebuild: no layer the same, 70 % of the bytes', pullRebuild],
  hundred: ['pull an image of 100 layers', pullHundred],
  again: ['pull from a registry what is there already', again],
  update: ['pull a new version when the old one is there, by format', update],
  disk: ['disk for 21 images', disk],
  compose: ['image of a tree of 150,000 entries: time and memory', composing],
  composefs: ['composefs images: of dumps and directories, and digests', composefs],
  mount: ['mount and unmount, from 10 to 150,000 files and 1 to 100 layers', mounting],
  read: ['find, and open and read, through the mount', reading],
  memory: ['memory of a pull, from a layer of 256 MiB to one of 4 GiB', memory],
  gc: ['collect garbage: 1,000,000 objects, half of them needed', collecting],
  fsck: ['check all files of 21 images', checking],
  du: ['what 21 images take on the disk: time, and how exact', usage],
  push: ['push, compressing, to a registry on this machine', pushing],
  export: ['write an OCI archive, compressing', exportArchive],
  convert: ['write layers in other formats', converting],
  index: ['make a SOCI index', indexing],
  chunks: ['cut files into chunks', chunking],
  tar: ['write a tree as a tar', exportTar],
  start: ['onefold --help', starting],
}

const help = `Usage: npm run bench -- [--rounds N] [--only NAME]… [BENCH…]

Measures onefold beside other programs, prints ratios and writes bench/results/*.json. Needs root and Debian.
Inputs are made from Debian packages and kept in $ONEFOLD_BENCH_DIR (default: onefold-bench in the temporary folder).

${Object.entries(benches)
  .map(([name, [what]]) => `  ${name.padEnd(10)} ${what}`)
  .join('\n')}
  images     only make all the images

  --rounds N   runs of each contender (default 5)
  --only NAME  only the contenders whose name begins so, and the base of the ratios`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', multiple: true },
    help: { type: 'boolean', short: 'h' },
  },
})

const unknown = positionals.filter((name) => name !== 'images' && benches[name] === undefined)
if (values.help === true || unknown.length > 0) {
  for (const name of unknown) console.error(`Cannot run the bench "${name}": there is no such bench`)
  console.log(help)
  process.exit(unknown.length > 0 ? 2 : 0)
}
if (process.getuid?.() !== 0) {
  console.error('Cannot measure: every run mounts a fresh file system, and that needs root')
  process.exit(1)
}

const say = (line: string): void => console.error(line)
const options: Options = { rounds: Number(values.rounds), only: values.only, say }
console.log(machine())
if (positionals.includes('images')) await buildImages(collection, say)
for (const [name, [, run]] of Object.entries(benches)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue
  const report = await run(options)
  printReport(report)
  writeReport(report)
}
