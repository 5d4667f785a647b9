//! The one client stack: names of services become channels, in this process or over sockets, and nothing above
//! knows which.

mod bearer;
mod channel;
mod directory;
mod outgoing;
mod remote;

pub use bearer::Bearer;
pub use channel::{Channel, ChannelFuture};
pub use directory::Directory;
pub(crate) use outgoing::InProcess;
