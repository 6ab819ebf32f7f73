/**
 * The last bytes of a blob by which eStargz, and the zstd dialect of its authors, are told from every other blob.
 *
 *     eStargz, 51 bytes          gzip header with FEXTRA │ 26 │ "SG" 22 │ 16 hex digits │ "STARGZ"    │ an empty member's rest
 *     legacy, 47 bytes           gzip header with FEXTRA │ 22 │           16 hex digits │ "STARGZ"    │ …
 *     table elsewhere, 46 bytes  gzip header with FEXTRA │ 21 │ "SG" 17 │ "STARGZEXTERNALTOC"         │ …
 *     zstd, 48 bytes             skippable frame of 40 bytes: four u64 │ "GnUlInUx"
 */

/** As many bytes as the longest footer has. */
export const footerMax = 51

const gzipHeader = '1f8b080400000000'
const emptyMember = '010000ffff0000000000000000'
const sg = '5347'
const stargz = Buffer.from('STARGZ').toString('hex')
const external = Buffer.from('STARGZEXTERNALTOC').toString('hex')
const digits = '(?:3[0-9]|6[1-6]){16}'

const footers = [
  new RegExp(`${gzipHeader}....1a00${sg}1600${digits}${stargz}${emptyMember}$`),
  new RegExp(`${gzipHeader}....1600${digits}${stargz}${emptyMember}$`),
  new RegExp(`${gzipHeader}....1500${sg}1100${external}${emptyMember}$`),
  new RegExp(`502a4d1828000000.{64}${Buffer.from('GnUlInUx').toString('hex')}$`),
]

/** Whether a blob that ends with these bytes (the last 51, or all when there are fewer) was written as eStargz. */
export function endsAsEstargz(tail: Uint8Array): boolean {
  const hex = Buffer.from(tail.subarray(-footerMax)).toString('hex')
  return footers.some((footer) => (footer.exec(hex)?.index ?? 1) % 2 === 0)
}
