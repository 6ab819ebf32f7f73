import type { Fields } from '../json.ts'
import { readJsonList } from '../json.ts'

/**
 * Entry of the `manifest.json` that `docker save` writes, one object per image:
 *
 *     [{ "Config": "<hex>.json", "RepoTags": ["app:1.2"], "Layers": ["<id>/layer.tar", …] }, …]
 *
 * Names are those of members of the archive, the lowest layer first. Docker 25 and later write `blobs/sha256/<hex>`.
 */
export interface SavedImage {
  readonly config: string
  readonly tags: readonly string[]
  readonly layers: readonly string[]
}

export function parseDockerSave(bytes: Uint8Array): SavedImage[] {
  return readJsonList(bytes, 'manifest.json').map(readImage)
}

function readImage(fields: Fields): SavedImage {
  return {
    config: fields.text('Config'),
    tags: fields.strings('RepoTags') ?? [],
    layers: fields.strings('Layers') ?? [],
  }
}
