//! Composition: one task after another, many at once, scopes, collections and pipelines.
