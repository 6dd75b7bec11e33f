//! A page that shows running pools, live, and the small server for it.
//!
//! [`Dashboard::builder`] makes one. Behind the feature `dashboard`.
//
// Layer: the dashboard, above all others. `dashboard`: the builder and the handle. `panel`: what a
// program adds to the page. `server`: threads and limits. `connection`: a socket and its deadline.
// `http` and `reply`: one request, one reply. `access`: who may ask. `api`: what each path answers.
// `json`: what is shown, as JSON. The page itself is `page.html`, `page.css`, `page.js`.

mod access;
mod api;
mod connection;
#[allow(clippy::module_inception)] // The folder is named after its main type.
mod dashboard;
mod error;
mod http;
mod json;
mod panel;
mod reply;
mod server;

pub use dashboard::{Dashboard, DashboardBuilder};
pub use error::ServeError;
pub use panel::{Panel, PanelAction};
