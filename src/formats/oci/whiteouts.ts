/** Names that delete others in a layer: image-spec "layer.md", whiteouts. */

/** Prefix of the name of something in lower layers that is to be hidden. */
export const whiteoutPrefix = '.wh.'
/** Name that hides all that lower layers have in its directory. */
export const opaqueMarker = '.wh..wh..opq'
