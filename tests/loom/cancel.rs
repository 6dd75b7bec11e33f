//! loom models; see the file of the same name in src.
