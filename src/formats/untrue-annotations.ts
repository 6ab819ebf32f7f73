import type { Format } from './format.ts'

/** Annotations, by their names, that are no longer true when bytes are others. */
export interface UntrueAnnotations {
  /** Whether one on a layer's descriptor speaks of the layer's old bytes. */
  readonly ofLayer: (name: string) => boolean
  /** Whether one on an image's manifest, or on its entry in an index, speaks of the old bytes of its layers. */
  readonly ofImage: (name: string) => boolean
}

/** The annotations that formats declare to be theirs. */
export function untrueAnnotations(formats: readonly Format[]): UntrueAnnotations {
  const ofLayers = formats.flatMap(({ layerAnnotations = [] }) => layerAnnotations)
  const ofImages = formats.flatMap(({ imageAnnotations = [] }) => imageAnnotations)
  return {
    ofLayer: (name) => ofLayers.some((pattern) => pattern.test(name)),
    ofImage: (name) => ofImages.some((pattern) => pattern.test(name)),
  }
}
