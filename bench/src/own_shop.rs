//! A whole shop of a benchmark's own: this very program as a child, with data of its own on free ports, and the payment
//! provider as another child. Both end and everything is removed when the handle is dropped.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::child::{Child, address_on, this_program};
use crate::provider;

/// A running shop.
pub struct OwnShop {
    /// Where the edge is.
    pub edge: String,
    /// Where all services are.
    pub internal: String,
    /// Where the payment provider is.
    pub provider: String,
    shop: Child,
    provider_child: Child,
    folder: TempDir,
}

impl OwnShop {
    /// Starts it. Its data is below `beside`, so that it is on the disk on which a shop would be.
    ///
    /// # Errors
    /// When a child cannot be started or does not say where it listens.
    pub async fn start(beside: &Path) -> Result<Self> {
        let folder = folder_in(beside)?;
        let program = this_program()?;
        let (provider_child, provider) = provider::start(&program, folder.path()).await?;
        let mut arguments = vec!["--data".to_owned(), data(&folder).display().to_string()];
        let ports = ["edge", "ops", "internal"].map(|port| format!("listen.{port}=127.0.0.1:0"));
        let own = [
            format!("payment.provider_url={provider}"),
            // All customers of a benchmark come from one address, and order as fast as they can.
            "edge.rate_limits=off".to_owned(),
        ];
        for setting in ports.into_iter().chain(own) {
            arguments.extend(["--set".to_owned(), setting]);
        }
        arguments.push("up".to_owned());
        let (mut edge, mut internal) = (None, None);
        let both = |line: &str| {
            edge = edge.take().or_else(|| address_on(line, "the shop"));
            internal = internal.take().or_else(|| address_on(line, "internal gRPC"));
            edge.clone().zip(internal.clone())
        };
        let log = folder.path().join("shop.log");
        let (shop, (edge, internal)) = Child::start(&program, &arguments, &log, both).await?;
        Ok(Self { edge, internal, provider, shop, provider_child, folder })
    }

    /// The shop's data folder.
    pub fn data(&self) -> PathBuf {
        data(&self.folder)
    }

    /// The shop's process id, unless it has ended.
    pub fn shop_pid(&self) -> Option<u32> {
        self.shop.pid()
    }

    /// The provider's process id, unless it has ended.
    pub fn provider_pid(&self) -> Option<u32> {
        self.provider_child.pid()
    }

    /// Ends both and waits until they are gone, so that the folder can be removed.
    pub async fn stop(mut self) -> Result<()> {
        self.shop.kill().await?;
        self.provider_child.kill().await?;
        self.folder.close().context("the benchmark's folder cannot be removed")
    }

    /// The end of the shop's log.
    pub fn log_tail(&self) -> String {
        self.shop.tail()
    }
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

/// A folder that is removed with its handle.
pub fn folder_in(beside: &Path) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("souk-bench-")
        .tempdir_in(beside)
        .with_context(|| format!("no folder can be made in {}", beside.display()))
}
