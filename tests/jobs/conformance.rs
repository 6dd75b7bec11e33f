//! The suite for storages, on the storages here.

use millhand::jobs::conformance::Case;
use millhand::jobs::{Memory, Storage};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

mod memory {
    use super::*;

    millhand::storage_conformance!(at_rest: false, shared: false, seeds: 100, |case| {
        Arc::new(Memory::options().clock(&case.clock).build())
    });
}

/// What has a name stays, so that the parts for storages at rest are tested, too.
mod named_memory {
    use super::*;

    fn open(case: &Case) -> Arc<dyn Storage> {
        static ALL: LazyLock<Mutex<HashMap<String, Memory>>> = LazyLock::new(Mutex::default);
        let make = || Memory::options().clock(&case.clock).build();
        let mut all = ALL.lock().unwrap();
        Arc::new(all.entry(case.name.clone()).or_insert_with(make).clone())
    }

    millhand::storage_conformance!(at_rest: true, shared: true, seeds: 1, open);
}

/// The suite itself: its model is a storage, too.
mod model {
    use super::*;
    use millhand::jobs::conformance::model::Model;

    millhand::storage_conformance!(at_rest: false, shared: false, seeds: 1, |case| {
        Arc::new(Model::new(case))
    });
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use millhand::jobs::{Durability, Sqlite};
    use std::path::PathBuf;

    fn path(case: &Case) -> PathBuf {
        let name = format!("millhand-suite-{}-{}.db", std::process::id(), case.name);
        std::env::temp_dir().join(name.replace('/', "-"))
    }

    millhand::storage_conformance!(at_rest: true, shared: true, seeds: 20, |case| {
        let storage = Sqlite::options(path(case)).durability(Durability::Normal);
        Arc::new(storage.clock(&case.clock).open().unwrap())
    });
}
