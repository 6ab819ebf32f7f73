/**
 * Kind of a tar. `layer`: whiteouts mean what the image specification says. `plain`: a tree, in which every name is data.
 */
export type LayerKind = (typeof layerKinds)[number]

export const layerKinds = ['layer', 'plain'] as const
