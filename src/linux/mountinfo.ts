import { readFileSync } from 'node:fs'
import { OnefoldError } from '../error.ts'

/** One line of /proc/PID/mountinfo; names are bytes as latin1, unescaped. */
export interface Mount {
  readonly id: number
  readonly parent: number
  readonly device: string
  /** Directory of the file system that is mounted; `target` is the directory it is mounted at. */
  readonly root: string
  readonly target: string
  readonly options: readonly string[]
  readonly type: string
  readonly source: string
  readonly superOptions: readonly string[]
}

/** Reads all mounts of our mount namespace, in the order they were made. */
export function readMounts(): Mount[] {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'latin1'))
}

/**
 * Parses mountinfo (proc_pid_mountinfo(5)):
 *
 *     36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
 *     id parent dev root target options tags… - type source superoptions
 *
 * Blank, tab, newline, backslash and, in some fields, # stand as three octal digits.
 */
export function parseMountinfo(text: string): Mount[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map(parseLine)
}

function parseLine(line: string): Mount {
  const fields = line.split(' ')
  const dash = fields.indexOf('-', 6)
  const [id, parent, device, root, target, options] = fields
  const [type, source, superOptions] = dash < 0 ? [] : fields.slice(dash + 1)
  if (
    [root, target, options, source, superOptions].includes(undefined) ||
    !isNumber(id) ||
    !isNumber(parent) ||
    device === undefined ||
    type === undefined
  ) {
    throw new OnefoldError('BAD_FORMAT', `Cannot read mountinfo line ${JSON.stringify(line.slice(0, 200))}`)
  }
  return {
    id: Number(id),
    parent: Number(parent),
    device,
    root: unescape(root),
    target: unescape(target),
    options: list(options),
    type,
    source: unescape(source),
    superOptions: list(superOptions),
  }
}

function isNumber(text: string | undefined): text is string {
  return text !== undefined && /^\d{1,10}$/.test(text)
}

function unescape(text = ''): string {
  return text.replace(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

function list(text = ''): string[] {
  return text.split(',').map(unescape)
}
