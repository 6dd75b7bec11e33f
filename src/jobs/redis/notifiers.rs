//! The notifiers of this process.
//!
//! Layer: jobs.

use crate::jobs::id::{JobId, SessionId};
use crate::jobs::notifier::Notifier;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};

/// What a notifier is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum News {
    Queues(Vec<String>),
    Job(JobId),
    Session(SessionId),
}

#[derive(Debug, Default)]
pub(super) struct Notifiers {
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    last: u64,
    all: HashMap<u64, (News, Notifier)>,
}

impl Notifiers {
    pub(super) fn add(&self, news: News, notifier: &Notifier) -> u64 {
        let mut lists = self.lists.lock();
        lists.last += 1;
        let number = lists.last;
        lists.all.insert(number, (news, notifier.clone()));
        number
    }

    pub(super) fn remove(&self, number: u64) {
        let _notifier = self.lists.lock().all.remove(&number);
    }

    pub(super) fn queues(&self) -> BTreeSet<String> {
        let lists = self.lists.lock();
        let of_queues = lists.all.values().filter_map(|(news, _)| match news {
            News::Queues(queues) => Some(queues),
            News::Job(_) | News::Session(_) => None,
        });
        of_queues.flatten().cloned().collect()
    }

    pub(super) fn notify_queue(&self, queue: &str) {
        self.notify(|news| match news {
            News::Queues(queues) => queues.iter().any(|known| known == queue),
            News::Job(_) | News::Session(_) => false,
        });
    }

    /// Takes what came to the inbox.
    pub(super) fn notify_item(&self, item: &str) {
        let session = item.strip_prefix('s').and_then(|id| id.parse().ok());
        if let Some(session) = session.map(SessionId) {
            self.notify(|news| *news == News::Session(session));
        } else if let Ok(id) = item.parse().map(JobId) {
            self.notify(|news| *news == News::Job(id));
        }
    }

    /// After news may have been lost.
    pub(super) fn notify_all(&self) {
        self.notify(|_| true);
    }

    fn notify(&self, is_meant: impl Fn(&News) -> bool) {
        let lists = self.lists.lock();
        let meant = lists.all.values().filter(|(news, _)| is_meant(news));
        let meant: Vec<Notifier> = meant.map(|(_, notifier)| notifier.clone()).collect();
        drop(lists);
        meant.iter().for_each(Notifier::notify);
    }
}
