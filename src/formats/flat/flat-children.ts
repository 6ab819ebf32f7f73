import { type FlatTree, compareBytes, nameField, nameLengthMask, nameWords } from './flat-tree.ts'

/** Names of each directory in byte order: `order[i]` for `first[inode] <= i < first[inode + 1]` are their ids. */
export interface Children {
  readonly first: Uint32Array
  readonly order: Uint32Array
}

/**
 * Sorts the names of each directory.
 * @param duplicate called with the later of two equal names in one directory; has to throw
 */
export function childrenOf(tree: FlatTree, duplicate: (name: number) => never): Children {
  const first = new Uint32Array(tree.inodes + 1)
  const words = tree.nameWords
  for (let name = 0; name < tree.names; name++) {
    const directory = words[name * nameWords + nameField.directory] as number
    first[directory + 1] = (first[directory + 1] as number) + 1
  }
  for (let inode = 0; inode < tree.inodes; inode++)
    first[inode + 1] = (first[inode + 1] as number) + (first[inode] as number)
  const order = new Uint32Array(tree.names)
  const next = first.slice(0, tree.inodes)
  for (let name = 0; name < tree.names; name++) {
    const directory = words[name * nameWords + nameField.directory] as number
    const at = next[directory] as number
    next[directory] = at + 1
    order[at] = name
  }
  for (let inode = 0; inode < tree.inodes; inode++)
    sortNames(tree, order, first[inode] as number, first[inode + 1] as number, duplicate)
  return { first, order }
}

/** Sorts the names of one directory. Most come in order: then each is only compared with the one before. */
function sortNames(
  tree: FlatTree,
  order: Uint32Array,
  from: number,
  to: number,
  duplicate: (name: number) => never,
): void {
  let sorted = true
  for (let i = from + 1; i < to && sorted; i++) {
    const difference = compareNames(tree, order[i - 1] as number, order[i] as number)
    if (difference === 0) duplicate(order[i] as number)
    sorted = difference < 0
  }
  if (sorted) return
  order.subarray(from, to).sort((a, b) => compareNames(tree, a, b) || a - b)
  for (let i = from + 1; i < to; i++)
    if (compareNames(tree, order[i - 1] as number, order[i] as number) === 0) duplicate(order[i] as number)
}

function compareNames(tree: FlatTree, a: number, b: number): number {
  const words = tree.nameWords
  return compareBytes(
    tree.heap,
    words[a * nameWords + nameField.at] as number,
    (words[a * nameWords + nameField.length] as number) & nameLengthMask,
    words[b * nameWords + nameField.at] as number,
    (words[b * nameWords + nameField.length] as number) & nameLengthMask,
  )
}

/** Returns the id of a name in a directory, or undefined. */
export function findName(
  tree: FlatTree,
  { first, order }: Children,
  directory: number,
  text: string,
): number | undefined {
  let low = first[directory] as number
  let high = (first[directory + 1] as number) - 1
  while (low <= high) {
    const middle = (low + high) >>> 1
    const name = order[middle] as number
    const difference = compareText(tree, text, name)
    if (difference === 0) return name
    if (difference > 0) low = middle + 1
    else high = middle - 1
  }
  return undefined
}

/** Compares chars that stand for bytes with a name, as strcmp does. */
function compareText(tree: FlatTree, text: string, name: number): number {
  const at = tree.nameWords[name * nameWords + nameField.at] as number
  const length = tree.nameLength(name)
  for (let i = 0; i < text.length && i < length; i++) {
    const difference = text.charCodeAt(i) - (tree.heap[at + i] as number)
    if (difference !== 0) return difference
  }
  return text.length - length
}
