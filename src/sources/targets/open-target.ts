import type { Destination } from './destination.ts'
import type { RegistryTarget } from './registry-target.ts'
import type { TargetOptions } from './target-options.ts'
import type { Target } from './target.ts'

/** Places that hold images as OCI has them; other destinations hold something else of an image. */
export type TargetPlace = Extract<Destination, { readonly transport: 'oci' | 'oci-archive' | 'docker' }>

type RegistryPlace = Extract<Destination, { readonly transport: 'docker' }>

/** Opens a place for images to go to. What is written to a layout shows when it is finished, or not at all. */
export function openTarget(place: RegistryPlace, options?: TargetOptions): Promise<RegistryTarget>
export function openTarget(place: TargetPlace, options?: TargetOptions): Promise<Target>
export async function openTarget(place: TargetPlace, options: TargetOptions = {}): Promise<Target> {
  switch (place.transport) {
    case 'oci':
      return new (await import('./layout-folder.ts')).LayoutFolder(place.path, place.image)
    case 'oci-archive':
      return new (await import('./layout-archive.ts')).LayoutArchive(place.path, place.image)
    case 'docker':
      return new (await import('./registry-target.ts')).RegistryTarget(place.reference, options)
  }
}
