//! The suite for storages, on the storages here.

use millhand::jobs::conformance::Case;
use millhand::jobs::{Memory, Storage};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

/// How many random runs there are, unless `MILLHAND_SEEDS` says it.
fn seeds(default: u64) -> u64 {
    let asked = std::env::var("MILLHAND_SEEDS");
    asked.map_or(default, |text| text.parse().unwrap())
}

mod memory {
    use super::*;

    millhand::storage_conformance!(at_rest: false, shared: false, seeds: seeds(100), |case| {
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

    millhand::storage_conformance!(at_rest: true, shared: true, seeds: seeds(10), open);
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use millhand::jobs::{Durability, Sqlite};

    fn open(case: &Case, durability: Durability) -> Arc<dyn Storage> {
        let options = Sqlite::options(case.folder().join("jobs.db"));
        let options = options.clock(&case.clock).durability(durability);
        Arc::new(options.open().unwrap())
    }

    mod full {
        use super::*;

        millhand::storage_conformance!(at_rest: true, shared: true, seeds: seeds(5), |case| {
            open(case, Durability::Full)
        });
    }

    mod normal {
        use super::*;

        millhand::storage_conformance!(at_rest: true, shared: true, seeds: seeds(20), |case| {
            open(case, Durability::Normal)
        });
    }
}

#[cfg(all(unix, feature = "redis"))]
mod redis {
    use super::*;
    use crate::redis_server::Server;
    use millhand::jobs::Redis;

    millhand::storage_conformance!(at_rest: true, shared: true, seeds: seeds(10), |case| {
        // The last part of the name is the one that no other case has.
        let first = case.name.len().saturating_sub(60);
        let options = Redis::options(Server::shared().url());
        let options = options.namespace(&case.name[first..]).clock(&case.clock);
        Arc::new(options.open().unwrap())
    });
}

/// The suite itself: its model is a storage, too.
mod model {
    use super::*;
    use millhand::jobs::conformance::model::Model;

    fn open(case: &Case) -> Arc<dyn Storage> {
        static ALL: LazyLock<Mutex<HashMap<String, Model>>> = LazyLock::new(Mutex::default);
        let mut all = ALL.lock().unwrap();
        let model = all.entry(case.name.clone());
        Arc::new(model.or_insert_with(|| Model::new(case)).clone())
    }

    millhand::storage_conformance!(at_rest: true, shared: true, seeds: seeds(1), open);
}
