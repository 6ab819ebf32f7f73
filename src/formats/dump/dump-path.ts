/** Returns `/a/b`, or '' for the root, however many slashes there are. */
export function canonicalPath(path: string): string {
  if (!path.endsWith('/') && (path === '' || (path.startsWith('/') && !path.includes('//')))) return path
  return path
    .split('/')
    .filter((name) => name !== '')
    .map((name) => `/${name}`)
    .join('')
}
