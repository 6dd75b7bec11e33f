//! The crew: the threads that a pool has, and what others can reach of each.
//!
//! Layer 3. Plain data under one lock.

use crate::pool::queue::Mailbox;
use crate::task::Frames;
use std::mem;
use std::sync::Arc;
use std::thread::JoinHandle;

/// What others reach of a worker: its mail, and what it runs.
pub(crate) struct Desk {
    pub(crate) index: usize,
    pub(crate) frames: Frames,
    pub(crate) mail: Mailbox,
}

/// The threads of a pool.
#[derive(Default)]
pub(crate) struct Crew {
    /// By index; a spare takes the lowest that is free.
    members: Vec<Option<Member>>,
    /// Threads that have left, or are about to: kept for a shutdown to join, thrown out once they have ended.
    leaving: Vec<JoinHandle<()>>,
}

struct Member {
    desk: Arc<Desk>,
    /// `None` once a shutdown has taken it to join.
    thread: Option<JoinHandle<()>>,
}

impl Crew {
    /// A desk for a thread that is about to be started.
    pub(crate) fn free_desk(&self) -> Arc<Desk> {
        let vacant = self.members.iter().position(Option::is_none);
        Arc::new(Desk {
            index: vacant.unwrap_or(self.members.len()),
            frames: Frames::new(),
            mail: Mailbox::new(),
        })
    }

    /// The thread was started.
    pub(crate) fn join(&mut self, desk: Arc<Desk>, thread: JoinHandle<()>) {
        let index = desk.index;
        if index == self.members.len() {
            self.members.push(None);
        }
        self.members[index] = Some(Member {
            desk,
            thread: Some(thread),
        });
    }

    /// A thread leaves; says whether it was the last.
    pub(crate) fn leave(&mut self, index: usize) -> bool {
        self.leaving.retain(|thread| !thread.is_finished());
        let member = self.members[index].take();
        self.leaving.extend(member.and_then(|member| member.thread));
        self.members.iter().all(Option::is_none)
    }

    pub(crate) fn desks(&self) -> impl Iterator<Item = &Arc<Desk>> {
        self.members.iter().flatten().map(|member| &member.desk)
    }

    /// Takes all threads, to be joined.
    pub(crate) fn take_threads(&mut self) -> Vec<JoinHandle<()>> {
        let mut threads = mem::take(&mut self.leaving);
        let members = self.members.iter_mut().flatten();
        threads.extend(members.filter_map(|member| member.thread.take()));
        threads
    }
}
