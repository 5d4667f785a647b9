//! Where to write to, when the event does not say: the user service knows.

use souk_mesh::client::Channel;
use souk_proto::user::v1::GetUserRequest;
use souk_proto::user::v1::user_service_client::UserServiceClient;
use tonic::Code;
use uuid::Uuid;

use crate::error::Error;

/// Looks up e-mail addresses.
#[derive(Clone)]
pub struct Recipients {
    users: UserServiceClient<Channel>,
}

impl Recipients {
    /// Over the given client.
    pub fn new(users: UserServiceClient<Channel>) -> Self {
        Self { users }
    }

    /// The user's address; `None` when there is no such user any more.
    pub async fn email(&self, user_id: Uuid) -> Result<Option<String>, Error> {
        let request = GetUserRequest { user_id: user_id.to_string() };
        match self.users.clone().get_user(request).await {
            Ok(answer) => Ok(answer.into_inner().user.map(|user| user.email)),
            Err(answer) if answer.code() == Code::NotFound => Ok(None),
            Err(answer) => Err(Error::Users(answer)),
        }
    }
}
