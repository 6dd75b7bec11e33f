//! The observer `Tracing` in a program without a subscriber: it keeps nothing.

use millhand::ThreadPool;
use millhand::observe::Tracing;
use std::sync::Arc;

#[test]
fn nothing_is_kept_for_no_subscriber() {
    let tracing = Arc::new(Tracing::new());
    let pool = ThreadPool::builder().workers(1).observer(tracing.clone());
    let pool = pool.build().unwrap();
    let root = tracing::info_span!("request");
    assert!(root.is_disabled());
    let kept = root.in_scope(|| pool.task().name("a").submit(move || format!("{tracing:?}")));
    let kept = kept.join().unwrap();
    assert!(kept.contains("tasks: 0"), "{kept}");
}
