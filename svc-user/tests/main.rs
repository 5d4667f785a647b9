//! Accounts and address books, through the service's own gRPC.

#![allow(clippy::unwrap_used)] // The helpers of tests may panic as tests do.

mod accounts;
mod addresses;
mod contract;
mod cql;
mod session_contract;
mod session_redis;
mod sessions;

use std::sync::Arc;

use souk_mesh::client::Channel;
use souk_mesh::clock::ManualClock;
use souk_mesh::error::reason_of;
use souk_mesh::platform::Platform;
use souk_proto::user::v1::user_service_client::UserServiceClient;
use souk_proto::user::v1::{RegisterRequest, RegisterResponse};
use tempfile::TempDir;
use tonic::{Code, Status};
use uuid::Uuid;

/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;

/// A running svc-user with a folder of its own.
struct Shop {
    platform: Platform,
    clock: Arc<ManualClock>,
    users: UserServiceClient<Channel>,
    folder: TempDir,
}

impl Shop {
    async fn open() -> Self {
        Self::open_with(souk_user::Config::default()).await
    }

    async fn open_with(config: souk_user::Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(START_MS));
        let platform = Platform::for_tests_at(folder.path(), clock.clone());
        let routes = souk_user::start(&platform, config).await.unwrap();
        platform.directory.bind_local(souk_user::NAME, routes);
        let users = UserServiceClient::new(platform.directory.forwarding_channel(souk_user::NAME));
        Self { platform, clock, users, folder }
    }

    async fn register(&self, email: &str, password: &str) -> Result<RegisterResponse, Status> {
        let request = registration(email, password);
        Ok(self.users.clone().register(request).await?.into_inner())
    }
}

fn registration(email: &str, password: &str) -> RegisterRequest {
    RegisterRequest {
        request_id: Uuid::new_v4().to_string(),
        email: email.to_owned(),
        password: password.to_owned(),
        display_name: "Amina".to_owned(),
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, reason: &str) {
    let status = answer.expect_err("should have been refused");
    assert_eq!((status.code(), reason_of(&status).as_deref()), (code, Some(reason)), "{status:?}");
}
