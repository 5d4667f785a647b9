//! The one client stack: names of services become channels, in this process or over sockets, and nothing above
//! knows which.

mod balance;
mod bearer;
mod channel;
mod connection;
mod directory;
mod heard;
mod kept;
mod load;
mod outgoing;
mod replica;

pub use balance::{CONNECTION_LOST, UNREACHABLE};
pub use bearer::Bearer;
pub use channel::{Channel, ChannelFuture};
pub use directory::{Directory, Node};
pub(crate) use outgoing::InProcess;
