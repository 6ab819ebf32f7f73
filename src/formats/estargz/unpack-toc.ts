/** The table of an eStargz blob: the one file of a tar in a gzip member of its own, or in a blob of its own. */
import { OnefoldError } from '../../error.ts'
import { readGzipMembers } from '../../codecs/gzip-members.ts'
import { TarParser } from '../tar/tar-parser.ts'
import { badToc } from '../toc-json/toc-json.ts'
import { tocName } from '../toc-json/stargz-own-files.ts'

/** Bytes of tar around the table: a header, padding and the end, filled up to a record at most. */
const tarOverhead = 64 * 1024

/**
 * The JSON in what the blob has from the table's offset to the footer, or in the whole blob of an external table.
 * @param maxBytes of the JSON
 */
export function unpackToc(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const member = readGzipMembers(bytes, maxBytes + tarOverhead).next()
  if (member.done === true || member.value.length !== bytes.length)
    throw badToc('it is not in a gzip member of its own')
  return fileIn(member.value.data, maxBytes)
}

function fileIn(tar: Uint8Array, maxBytes: number): Uint8Array {
  const pieces: Uint8Array[] = []
  let entries = 0
  const parser = new TarParser(
    {
      framing: () => {},
      entry: ({ path, type }) => {
        if (++entries > 1 || type !== 'file' || path !== tocName) throw badToc(`its tar holds something but ${tocName}`)
      },
      data: (part) => pieces.push(part),
      endEntry: () => {},
    },
    { maxEntrySize: maxBytes },
  )
  parser.write(tar)
  parser.end()
  if (entries === 0) throw new OnefoldError('BAD_FORMAT', 'Cannot read a table of contents: its tar is empty')
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
}
