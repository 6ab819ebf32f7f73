/**
 * User that the program runs as: an image says `user[:group]`, each by name or number, and its own /etc/passwd and
 * /etc/group say what that means. Both files come from the image, so a line that makes no sense is passed over, as
 * every program that reads them does.
 */
import { OnefoldError } from '../error.ts'

export interface Account {
  readonly uid: number
  readonly gid: number
  /**
   * Supplementary groups, with the gid itself: a group that is not in the list cannot be given up, and so could be
   * denied nothing.
   */
  readonly groups: readonly number[]
  readonly home: string
}

/**
 * Finds the account for `spec`, as in an image's config or as the user wrote it; '' is root. A number without an entry
 * stands for itself with group 0; a name without one is an error. Groups listed for the user count unless the spec
 * names a group.
 */
export function resolveUser(spec: string, passwd: string, group: string): Account {
  const [userName = '', groupName, ...rest] = spec.split(':')
  if (rest.length > 0) throw bad(spec, 'expected user or user:group')
  const users = parsePasswd(passwd)
  const named = userName === '' ? 'root' : userName
  const number = numeric(named)
  const entry = users.find((user) => user.name === named) ?? users.find((user) => user.uid === number)
  const uid = entry?.uid ?? (userName === '' ? 0 : number)
  if (uid === undefined) throw bad(spec, `the image's /etc/passwd has no user ${JSON.stringify(named)}`)
  const groups = parseGroup(group)
  const gid = groupName === undefined ? (entry?.gid ?? 0) : resolveGroup(spec, groupName, groups)
  const member =
    groupName === undefined && entry !== undefined ? groups.filter((each) => each.members.includes(entry.name)) : []
  return { uid, gid, groups: unique([gid, ...member.map((each) => each.gid)]), home: entry?.home || '/' }
}

function resolveGroup(spec: string, name: string, groups: readonly Group[]): number {
  const gid = groups.find((group) => group.name === name)?.gid ?? numeric(name)
  if (gid === undefined) throw bad(spec, `the image's /etc/group has no group ${JSON.stringify(name)}`)
  return gid
}

function bad(spec: string, detail: string): OnefoldError {
  return new OnefoldError('USAGE', `Cannot run as ${JSON.stringify(spec.slice(0, 200))}: ${detail}`)
}

interface User {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

interface Group {
  readonly name: string
  readonly gid: number
  readonly members: readonly string[]
}

/** Parses lines of name:password:uid:gid:comment:home:shell (passwd(5)). */
function parsePasswd(text: string): User[] {
  return text.split('\n').flatMap((line) => {
    const [name, , uidText = '', gidText = '', , home = ''] = line.split(':')
    const [uid, gid] = [numeric(uidText), numeric(gidText)]
    return name && uid !== undefined && gid !== undefined ? [{ name, uid, gid, home }] : []
  })
}

/** Parses lines of name:password:gid:member,member… (group(5)). */
function parseGroup(text: string): Group[] {
  return text.split('\n').flatMap((line) => {
    const [name, , gidText = '', members = ''] = line.split(':')
    const gid = numeric(gidText)
    return name && gid !== undefined ? [{ name, gid, members: members.split(',') }] : []
  })
}

/** Parses an id, which has 32 bits; the last one means "none" to the kernel. */
function numeric(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined
  const value = Number(text)
  return value < 0xffffffff ? value : undefined
}

function unique(numbers: readonly number[]): number[] {
  return [...new Set(numbers)]
}
