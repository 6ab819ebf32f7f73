import { lstat } from 'node:fs/promises'
import { OnefoldError } from '../error.ts'
import { loadFormat } from '../formats/all.ts'
import type { FileSet } from './local/file-set.ts'
import { type SourceName, parseSourceName } from './source-name.ts'
import type { SourceOptions } from './source-options.ts'
import type { Source } from './source.ts'

export type { SourceOptions } from './source-options.ts'

/**
 * Opens the source that the user named: `HOST/NAME:TAG`, `docker://…`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`,
 * `docker-archive:FILE[:NAME:TAG]`, `dir:DIR`, `rootfs:DIR`, `tar:FILE` (`tar:-` is standard input). Local sources are
 * checked to be what they are said to be; a registry is not contacted yet. Code is loaded for the kind in question
 * only.
 */
export async function openSource(text: string, options: SourceOptions = {}): Promise<Source> {
  options.signal?.throwIfAborted()
  return openNamed(text, await parsed(text), options)
}

async function openNamed(text: string, name: SourceName, options: SourceOptions): Promise<Source> {
  switch (name.transport) {
    case 'docker': {
      const { registrySource } = await import('./registry/registry.ts')
      return hintingAtPath(text, registrySource(name.reference, { ...options.registry, name: text }))
    }
    case 'oci': {
      const { openLayout } = await import('./local/oci-layout.ts')
      return openLayout(text, await directoryAt(name.path), name)
    }
    case 'oci-archive': {
      const { openLayout } = await import('./local/oci-layout.ts')
      const files = await archiveAt(name.path, options)
      return closingOnError(files, () => openLayout(text, files, name))
    }
    case 'docker-archive': {
      const { openDockerArchive } = await import('./local/docker-archive.ts')
      const files = await archiveAt(name.path, options)
      return closingOnError(files, () => openDockerArchive(text, files, name))
    }
    case 'dir': {
      const { openDir } = await import('./local/dir-source.ts')
      return openDir(text, await directoryAt(name.path))
    }
    case 'rootfs': {
      const { openRootfs } = await import('./local/rootfs-source.ts')
      return openRootfs(text, name.path, options)
    }
    case 'tar': {
      const { openTarball } = await import('./local/tarball.ts')
      return openTarball(text, name.path, options)
    }
    case 'format': {
      const { openFormatFile } = await import('./local/format-file.ts')
      return openFormatFile(text, name.path, await loadFormat(name.format), options)
    }
  }
}

async function directoryAt(path: string): Promise<FileSet> {
  const { directoryFiles } = await import('./local/file-set.ts')
  return directoryFiles(path)
}

async function archiveAt(path: string, options: SourceOptions): Promise<FileSet> {
  const { archiveFiles } = await import('./local/archive-files.ts')
  return archiveFiles(path, options)
}

async function closingOnError(files: FileSet, open: () => Promise<Source>): Promise<Source> {
  try {
    return await open()
  } catch (error) {
    await files.close()
    throw error
  }
}

/**
 * Adds a hint to a registry's refusal. A name that is a path as well stays a registry's; but when that has nothing of
 * the kind, the path is worth a hint.
 */
function hintingAtPath(text: string, registry: Source): Source {
  return {
    ...registry,
    async resolve(options) {
      try {
        return await registry.resolve(options)
      } catch (error) {
        throw await withLocalHint(text, error)
      }
    },
  }
}

async function withLocalHint(text: string, error: unknown): Promise<unknown> {
  if (!(error instanceof OnefoldError) || !['NOT_FOUND', 'DENIED', 'NETWORK'].includes(error.code)) return error
  const meant = await transportAt(text)
  if (meant === undefined) return error
  const hint = `There is a local "${text}"; to read that, write ${meant}.`
  return new OnefoldError(error.code, error.message, { cause: error, hint })
}

/** Parses the name. A path without transport is the likeliest slip; the file at that path tells what was meant. */
async function parsed(text: string): Promise<SourceName> {
  try {
    return parseSourceName(text)
  } catch (error) {
    const meant = error instanceof OnefoldError && error.code === 'BAD_NAME' ? await transportAt(text) : undefined
    if (meant === undefined) throw error
    throw new OnefoldError('BAD_NAME', `Cannot read source ${JSON.stringify(text)}: it is a path without transport`, {
      cause: error,
      hint: `Did you mean ${meant}?`,
    })
  }
}

async function transportAt(path: string): Promise<string | undefined> {
  const kind = await kindAt(path)
  if (kind === 'directory') {
    if ((await kindAt(`${path}/oci-layout`)) === 'file') return `oci:${path}`
    return (await kindAt(`${path}/manifest.json`)) === 'file' ? `dir:${path}` : `rootfs:${path}`
  }
  return kind === 'file' ? `docker-archive:${path}, oci-archive:${path} or tar:${path}` : undefined
}

async function kindAt(path: string): Promise<'file' | 'directory' | undefined> {
  try {
    const stats = await lstat(path)
    return stats.isDirectory() ? 'directory' : stats.isFile() ? 'file' : undefined
  } catch {
    return undefined
  }
}
