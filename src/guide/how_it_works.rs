//! How it works: the path of a task, in pictures.
