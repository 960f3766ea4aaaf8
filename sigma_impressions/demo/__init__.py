"""The demonstration: an embedded object store and believable data for it; nothing the pipeline itself needs."""
