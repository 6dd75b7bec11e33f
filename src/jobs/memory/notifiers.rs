//! Who waits for news: of queues, of sessions, and of the ends of jobs.
//!
//! Layer: jobs.
//
// The table notes here what has happened. The caller takes the notifiers, and is to notify them
// when it has released the lock: a notifier wakes threads, and may run what others have put at a
// token.

use crate::jobs::{JobId, Notifier, SessionId, StoredTime};
use std::collections::{BTreeMap, BTreeSet, HashMap};

#[derive(Debug, Default)]
pub(super) struct Notifiers {
    registered: u64,
    subscribers: HashMap<String, BTreeMap<u64, Notifier>>,
    watchers: HashMap<JobId, BTreeMap<u64, Watcher>>,
    of_sessions: HashMap<SessionId, BTreeMap<u64, Notifier>>,
    /// Queues with news for their subscribers.
    news: BTreeSet<String>,
    /// Those whose jobs have ended, or whose sessions are to look after theirs.
    due: Vec<Notifier>,
}

#[derive(Debug)]
struct Watcher {
    notifier: Notifier,
    until: StoredTime,
}

impl Notifiers {
    /// Returns the number of the registration.
    pub(super) fn subscribe(&mut self, queues: &[String], notifier: &Notifier) -> u64 {
        self.registered += 1;
        for queue in queues {
            let subscribers = self.subscribers.entry(queue.clone()).or_default();
            subscribers.insert(self.registered, notifier.clone());
        }
        self.registered
    }

    pub(super) fn unsubscribe(&mut self, queues: &[String], number: u64) -> Vec<Notifier> {
        let mut removed = Vec::new();
        for queue in queues {
            if let Some(subscribers) = self.subscribers.get_mut(queue) {
                removed.extend(subscribers.remove(&number));
                if subscribers.is_empty() {
                    self.subscribers.remove(queue);
                }
            }
        }
        removed
    }

    /// Returns the number of the registration.
    pub(super) fn watch(&mut self, id: JobId, notifier: &Notifier, until: StoredTime) -> u64 {
        self.registered += 1;
        let watcher = Watcher {
            notifier: notifier.clone(),
            until,
        };
        let watchers = self.watchers.entry(id).or_default();
        watchers.insert(self.registered, watcher);
        self.registered
    }

    pub(super) fn unwatch(&mut self, id: JobId, number: u64) -> Option<Notifier> {
        let watchers = self.watchers.get_mut(&id)?;
        let removed = watchers.remove(&number);
        if watchers.is_empty() {
            self.watchers.remove(&id);
        }
        removed.map(|watcher| watcher.notifier)
    }

    /// Returns the number of the registration.
    pub(super) fn watch_session(&mut self, session: SessionId, notifier: &Notifier) -> u64 {
        self.registered += 1;
        let watchers = self.of_sessions.entry(session).or_default();
        watchers.insert(self.registered, notifier.clone());
        self.registered
    }

    pub(super) fn unwatch_session(&mut self, session: SessionId, number: u64) -> Option<Notifier> {
        let watchers = self.of_sessions.get_mut(&session)?;
        let removed = watchers.remove(&number);
        if watchers.is_empty() {
            self.of_sessions.remove(&session);
        }
        removed
    }

    pub(super) fn session_has_news(&mut self, session: SessionId) {
        let watchers = self.of_sessions.get(&session).into_iter().flatten();
        self.due
            .extend(watchers.map(|(_, notifier)| notifier.clone()));
    }

    pub(super) fn queue_has_news(&mut self, queue: &str) {
        if self.subscribers.contains_key(queue) && !self.news.contains(queue) {
            self.news.insert(queue.to_owned());
        }
    }

    pub(super) fn job_has_ended(&mut self, id: JobId, now: StoredTime) {
        let watchers = self.watchers.get(&id).into_iter().flatten();
        let patient = watchers.filter(|(_, watcher)| watcher.until > now);
        let notifiers = patient.map(|(_, watcher)| watcher.notifier.clone());
        self.due.extend(notifiers);
    }

    /// Returns what the caller is to notify when it has released the lock.
    pub(super) fn take(&mut self) -> Vec<Notifier> {
        let mut notifiers = std::mem::take(&mut self.due);
        for queue in std::mem::take(&mut self.news) {
            let subscribers = self.subscribers.get(&queue);
            notifiers.extend(
                subscribers
                    .into_iter()
                    .flatten()
                    .map(|(_, notifier)| notifier.clone()),
            );
        }
        notifiers
    }

    /// Whether nothing is registered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty() && self.watchers.is_empty() && self.of_sessions.is_empty()
    }
}
