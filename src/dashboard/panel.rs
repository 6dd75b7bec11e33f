//! What a program adds to the page.
//!
//! Layer: dashboard.

use std::sync::Arc;

/// A part of the page that the program fills: a table of its own, with buttons if it wants them.
///
/// It is called on a thread of the dashboard, for one request at a time, and each second while a
/// page is open. Another request for it is answered 503 at once, and so is one for a third panel
/// while two are called. It must not wait for long: a request that takes more than some seconds
/// fails, and the drop of the [`Dashboard`](crate::dashboard::Dashboard) waits for it, though not
/// for more than 5 seconds. A panic in it is logged, and fails the request.
///
/// ```
/// use millhand::dashboard::{Dashboard, Panel, PanelAction};
/// use std::sync::Mutex;
///
/// /// Letters that could not be delivered.
/// struct Returned(Mutex<Vec<(u32, String)>>);
///
/// impl Panel for Returned {
///     fn title(&self) -> String {
///         "returned letters".into()
///     }
///
///     fn json(&self) -> String {
///         let letters = self.0.lock().unwrap();
///         let rows = letters.iter().map(|(id, to)| format!(r#"{{"id":{id},"to":"{to}"}}"#));
///         format!("[{}]", rows.collect::<Vec<_>>().join(","))
///     }
///
///     fn actions(&self) -> Vec<PanelAction> {
///         vec![PanelAction::per_row("drop"), PanelAction::new("drop all")]
///     }
///
///     fn act(&self, action: &str, row: Option<&str>) -> Result<String, String> {
///         let mut letters = self.0.lock().unwrap();
///         match (action, row) {
///             ("drop", Some(row)) => letters.retain(|(id, _)| id.to_string() != row),
///             _ => letters.clear(),
///         }
///         Ok(format!("{} left", letters.len()))
///     }
/// }
///
/// let pool = millhand::ThreadPool::new(1)?;
/// let letters = Returned(Mutex::new(vec![(7, "Ada".into())]));
/// let page = Dashboard::builder()
///     .pool(&pool)
///     .panel(letters)
///     .allow_control("a-long-random-text")
///     .serve("127.0.0.1:0")?;
/// # drop(page);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
pub trait Panel: Send + Sync {
    /// Returns the heading. It is read once, when the dashboard starts.
    ///
    /// ```
    /// use millhand::dashboard::Panel;
    ///
    /// fn headings(panels: &[Box<dyn Panel>]) -> Vec<String> {
    ///     panels.iter().map(|panel| panel.title()).collect()
    /// }
    /// ```
    fn title(&self) -> String;

    /// Returns what to show, as JSON text. The page shows a list of objects as a table, whose
    /// columns have the order of the names, an object as names and values, and anything else as
    /// text.
    ///
    /// ```
    /// use millhand::dashboard::Panel;
    ///
    /// struct Version;
    ///
    /// impl Panel for Version {
    ///     fn title(&self) -> String {
    ///         "version".into()
    ///     }
    ///
    ///     fn json(&self) -> String {
    ///         format!(r#"{{"version":"{}"}}"#, env!("CARGO_PKG_VERSION"))
    ///     }
    /// }
    /// ```
    fn json(&self) -> String;

    /// Returns the buttons. It is read once, when the dashboard starts. Default: none.
    ///
    /// ```
    /// use millhand::dashboard::Panel;
    ///
    /// fn is_read_only(panel: &dyn Panel) -> bool {
    ///     panel.actions().is_empty()
    /// }
    /// ```
    fn actions(&self) -> Vec<PanelAction> {
        Vec::new()
    }

    /// Does what a button says, and returns a text that is shown. It is called only for one of the
    /// [`actions`](Self::actions), and for a request with the token of
    /// [`allow_control`](crate::dashboard::DashboardBuilder::allow_control).
    ///
    /// `row` is the `id` in the row of the button, for an action [per row](PanelAction::per_row).
    ///
    /// # Errors
    /// A text that is shown as an error. Default: it always fails.
    ///
    /// ```
    /// use millhand::dashboard::Panel;
    ///
    /// fn empty(panel: &dyn Panel) -> Result<String, String> {
    ///     panel.act("empty", None)
    /// }
    /// ```
    fn act(&self, action: &str, row: Option<&str>) -> Result<String, String> {
        let _ = (action, row);
        Err("this panel has no actions".into())
    }
}

impl<P: Panel + ?Sized> Panel for Arc<P> {
    fn title(&self) -> String {
        (**self).title()
    }

    fn json(&self) -> String {
        (**self).json()
    }

    fn actions(&self) -> Vec<PanelAction> {
        (**self).actions()
    }

    fn act(&self, action: &str, row: Option<&str>) -> Result<String, String> {
        (**self).act(action, row)
    }
}

/// A button of a [`Panel`].
///
/// ```
/// use millhand::dashboard::PanelAction;
///
/// assert_eq!(PanelAction::new("empty").name(), "empty");
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelAction {
    name: String,
    is_per_row: bool,
}

impl PanelAction {
    /// Makes one button for the whole panel. The name is its text.
    ///
    /// ```
    /// let empty = millhand::dashboard::PanelAction::new("empty");
    /// assert!(!empty.is_per_row());
    /// ```
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let is_per_row = false;
        Self { name, is_per_row }
    }

    /// Makes a button in each row of the panel's table that has an `id`, a text or a number.
    ///
    /// ```
    /// let retry = millhand::dashboard::PanelAction::per_row("retry");
    /// assert!(retry.is_per_row());
    /// ```
    pub fn per_row(name: impl Into<String>) -> Self {
        let name = name.into();
        let is_per_row = true;
        Self { name, is_per_row }
    }

    /// Returns the text of the button, which [`Panel::act`] gets.
    ///
    /// ```
    /// assert_eq!(millhand::dashboard::PanelAction::per_row("retry").name(), "retry");
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether each row has this button.
    ///
    /// ```
    /// assert!(millhand::dashboard::PanelAction::per_row("retry").is_per_row());
    /// ```
    pub fn is_per_row(&self) -> bool {
        self.is_per_row
    }
}
