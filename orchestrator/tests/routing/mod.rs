//! Requests reach the node that serves the run, over real sockets: nodes whose services are stubs and whose knowledge of
//! owners is whatever the test says, and real engines that ask each other.

mod forwarding;
mod moves;
mod nodes;
mod peers;
