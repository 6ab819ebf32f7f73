/** Names that delete others in a layer: image-spec "layer.md", whiteouts. */

/** Stands before the name of something in lower layers that is to be hidden. */
export const whiteoutPrefix = '.wh.'
/** Hides all that lower layers have in its directory. */
export const opaqueMarker = '.wh..wh..opq'
