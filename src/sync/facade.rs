//! What threads share: the types of parking_lot, std and crossbeam, or loom's in a loom model.
//!
//! Code that a loom model covers takes its locks, atomics, channels, thread-locals and cells that
//! are set once from here. `Arc` is always std's, since loom's cannot hold a `dyn` type.

#[cfg(not(loom))]
pub(crate) use crossbeam_channel as channel;
#[cfg(not(loom))]
pub(crate) use crossbeam_utils::atomic::AtomicCell;
#[cfg(not(loom))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::sync::{OnceLock, atomic};
#[cfg(not(loom))]
pub(crate) use std::thread_local;

/// The locks of std, or loom's in a loom model.
pub(crate) mod plain {
    #[cfg(loom)]
    pub(crate) use loom::sync::{Condvar, Mutex};
    #[cfg(not(loom))]
    pub(crate) use std::sync::{Condvar, Mutex};
}

#[cfg(loom)]
pub(crate) use loom::sync::atomic;
#[cfg(loom)]
pub(crate) use model::{AtomicCell, Condvar, Mutex, MutexGuard, OnceLock, channel, thread_local};

#[cfg(loom)]
mod model {
    //! loom's locks with the signatures of parking_lot's.

    use std::ops::{Deref, DerefMut};
    use std::sync::atomic::Ordering;
    use std::time::Instant;

    // loom's macro does not know a `const` block.
    macro_rules! local {
        ($(#[$attr:meta])* static $name:ident: $type:ty = const { $init:expr };) => {
            loom::thread_local! { $(#[$attr])* static $name: $type = $init; }
        };
    }
    pub(crate) use local as thread_local;

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    pub(crate) struct MutexGuard<'a, T> {
        lock: &'a Mutex<T>,
        // `None` only while a condvar has it.
        held: Option<loom::sync::MutexGuard<'a, T>>,
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard {
                lock: self,
                held: Some(self.0.lock().unwrap()),
            }
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let held = Some(self.0.try_lock().ok()?);
            Some(MutexGuard { lock: self, held })
        }

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap()
        }
    }

    impl<T> MutexGuard<'_, T> {
        pub(crate) fn unlocked<R>(guard: &mut Self, f: impl FnOnce() -> R) -> R {
            drop(guard.held.take());
            let result = f();
            guard.held = Some(guard.lock.0.lock().unwrap());
            result
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.held.as_ref().unwrap()
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.held.as_mut().unwrap()
        }
    }

    /// A cell that is read and written as a whole.
    #[derive(Debug)]
    pub(crate) struct AtomicCell<T>(loom::sync::Mutex<T>);

    impl<T: Copy> AtomicCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn load(&self) -> T {
            *self.0.lock().unwrap()
        }

        pub(crate) fn store(&self, value: T) {
            *self.0.lock().unwrap() = value;
        }
    }

    pub(crate) struct WaitTimeoutResult;

    impl WaitTimeoutResult {
        pub(crate) fn timed_out(&self) -> bool {
            true
        }
    }

    #[derive(Debug)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.held.take().unwrap();
            guard.held = Some(self.0.wait(held).unwrap());
        }

        // loom's own timed wait never times out. So a timed wait is modelled as one that always
        // times out: unlock, let other threads run, lock again.
        pub(crate) fn wait_until<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            _: Instant,
        ) -> WaitTimeoutResult {
            drop(guard.held.take());
            loom::thread::yield_now();
            guard.held = Some(guard.lock.0.lock().unwrap());
            WaitTimeoutResult
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// A thread that would wait for another one's `get_or_init` waits where loom sees it.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        value: std::sync::OnceLock<T>,
        is_set: loom::sync::atomic::AtomicBool,
        setting: Mutex<()>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self {
                value: std::sync::OnceLock::new(),
                is_set: loom::sync::atomic::AtomicBool::new(false),
                setting: Mutex::new(()),
            }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            // ORDERING: pairs with `get_or_init`, as in std's.
            let is_set = self.is_set.load(Ordering::Acquire);
            is_set.then(|| self.value.get()).flatten()
        }

        pub(crate) fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
            let setting = self.setting.lock();
            let value = self.value.get_or_init(f);
            // ORDERING: pairs with `get`.
            self.is_set.store(true, Ordering::Release);
            drop(setting);
            value
        }

        pub(crate) fn take(&mut self) -> Option<T> {
            self.value.take()
        }
    }

    pub(crate) mod channel {
        //! An unbounded channel with the synchronisation that crossbeam's has: a sequentially
        //! consistent change of its ends for each message. A count stands for these.

        use loom::sync::atomic::AtomicUsize;
        use std::collections::VecDeque;
        use std::sync::atomic::Ordering::SeqCst;
        use std::sync::{Arc, Mutex};

        struct Channel<T> {
            len: AtomicUsize,
            // std's, since loom must see no order in it.
            messages: Mutex<VecDeque<T>>,
        }

        pub(crate) struct Sender<T>(Arc<Channel<T>>);
        pub(crate) struct Receiver<T>(Arc<Channel<T>>);

        pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
            let channel = Arc::new(Channel {
                len: AtomicUsize::new(0),
                messages: Mutex::default(),
            });
            // What an atomic is made with may be read by loom after a newer value was stored.
            channel.len.store(0, SeqCst);
            (Sender(channel.clone()), Receiver(channel))
        }

        impl<T> Sender<T> {
            #[allow(clippy::unnecessary_wraps)] // as crossbeam's
            pub(crate) fn send(&self, message: T) -> Result<(), T> {
                self.0.messages.lock().unwrap().push_back(message);
                self.0.len.fetch_add(1, SeqCst);
                Ok(())
            }
        }

        impl<T> Receiver<T> {
            pub(crate) fn try_recv(&self) -> Result<T, ()> {
                let less = |len: usize| len.checked_sub(1);
                let taken = self.0.len.fetch_update(SeqCst, SeqCst, less);
                taken.map_err(drop)?;
                let mut messages = self.0.messages.lock().unwrap();
                Ok(messages.pop_front().unwrap())
            }

            pub(crate) fn len(&self) -> usize {
                self.0.len.load(SeqCst)
            }

            pub(crate) fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }
    }
}
