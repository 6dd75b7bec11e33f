//! Nothing. `measure` writes the programs that it builds into `src/bin/`.
