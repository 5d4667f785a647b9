//! The order: five durable steps, each of which answers with a text of its own.

use std::net::SocketAddr;

use anyhow::Result;
use restate_sdk::prelude::*;
use tokio::net::TcpListener;

use crate::payloads::{self, Payloads};

/// Steps of an order.
pub const STEPS: u64 = 5;

struct Order {
    payloads: &'static Payloads,
}

#[restate_sdk::service]
impl Order {
    /// Runs the steps one after the other; each result is durable in Restate's journal before the next one begins.
    #[handler]
    async fn place(
        &self,
        context: Context<'_>,
        Json(order): Json<payloads::Order>,
    ) -> Result<String, HandlerError> {
        let payloads = self.payloads;
        let mut text = order.text;
        for step in 1..=STEPS {
            let answer = || async move { Ok(payloads.text(order.number, step).to_owned()) };
            text = context.run(answer).name("confirm").await?;
        }
        Ok(text)
    }
}

/// Serves the order on a free port, for as long as this process lives.
pub async fn serve(payloads: &'static Payloads) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = HttpServer::new(Endpoint::builder().bind(Order { payloads }).build());
    tokio::spawn(server.serve_with_cancel(listener, std::future::pending::<()>()));
    Ok(address)
}
