//! The queues and the handlers of a consumer.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::handler::ErasedHandler;
use crate::jobs::names::check_name;
use std::collections::HashMap;
use std::sync::Arc;

/// How many jobs of a queue run at once.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    pub(super) name: String,
    pub(super) most: usize,
}

/// The handlers, by the names under which their jobs may be stored.
pub(super) struct Handlers {
    by_name: HashMap<&'static str, usize>,
    names: Vec<String>,
    pub(super) all: Vec<Arc<ErasedHandler>>,
}

impl Handlers {
    pub(super) fn new(handlers: Vec<ErasedHandler>) -> Result<Self, JobsError> {
        let invalid = |text: String| Err(JobsError::new(JobsErrorKind::Invalid, text));
        if handlers.is_empty() {
            return invalid("a consumer without a handler; one or more are allowed".into());
        }
        let mut by_name = HashMap::new();
        for (at, handler) in handlers.iter().enumerate() {
            for name in std::iter::once(handler.name).chain(handler.aliases.iter().copied()) {
                check_name("kind", name)?;
                if by_name.insert(name, at).is_some() {
                    return invalid(format!("two handlers for jobs of the kind {name:?}"));
                }
            }
            if handler.options.limit == Some(0) {
                let name = handler.name;
                return invalid(format!("a limit of 0 for {name:?}; 1 or more are allowed"));
            }
        }
        let mut names: Vec<_> = by_name.keys().map(|&name| name.to_owned()).collect();
        names.sort_unstable();
        let all = handlers.into_iter().map(Arc::new).collect();
        Ok(Self {
            by_name,
            names,
            all,
        })
    }

    /// The place of the handler for jobs that are stored under this name.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// All of them, in an order that is always the same.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}
