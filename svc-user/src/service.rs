//! `souk.user.v1.UserService`: wire → domain → wire.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use souk_mesh::clock::SharedClock;
use souk_mesh::idempotency;
use souk_mesh::identity::{Caller, Keys, Role, Roles};
use souk_proto::time::timestamp;
use souk_proto::user::v1::user_service_server::UserService;
use souk_proto::user::v1::{
    CreateAddressRequest, CreateAddressResponse, DeleteAddressRequest, DeleteAddressResponse,
    GetUserRequest, GetUserResponse, ListAddressesRequest, ListAddressesResponse, LoginRequest,
    LoginResponse, LogoutRequest, LogoutResponse, RefreshTokenRequest, RefreshTokenResponse,
    RegisterRequest, RegisterResponse, UpdateAddressRequest, UpdateAddressResponse,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::addresses::Addresses;
use crate::domain::{User, canonical_email};
use crate::error::Error;
use crate::password::Passwords;
use crate::sessions::{RefreshToken, Sessions};
use crate::store::{Registered, RequestKey, UserStore};
use crate::wire;

/// The service over any store.
pub struct Service {
    store: Arc<dyn UserStore>,
    sessions: Sessions,
    addresses: Addresses,
    passwords: Passwords,
    keys: Arc<Keys>,
    clock: SharedClock,
    token_lifetime_ms: i64,
}

/// A signed access token, and when it ends in unix milliseconds.
struct Token {
    text: String,
    expires_at_ms: i64,
}

impl Service {
    /// Puts the parts together.
    pub fn new(
        store: Arc<dyn UserStore>,
        sessions: Sessions,
        passwords: Passwords,
        keys: Arc<Keys>,
        clock: SharedClock,
        token_lifetime_ms: i64,
    ) -> Self {
        let addresses = Addresses::new(Arc::clone(&store), Arc::clone(&clock), &keys);
        Self { store, sessions, addresses, passwords, keys, clock, token_lifetime_ms }
    }

    fn token(&self, user: &User) -> Result<Token, Error> {
        let roles: &[Role] =
            if user.is_staff { &[Role::Customer, Role::Staff] } else { &[Role::Customer] };
        let now_ms = self.clock.now_ms();
        let lifetime = Duration::from_millis(self.token_lifetime_ms.unsigned_abs());
        let text = self
            .keys
            .signer
            .sign(&user.id.to_string(), roles.iter().copied().collect::<Roles>(), lifetime, now_ms)
            .map_err(|error| Error::Token(error.to_string()))?;
        Ok(Token { text, expires_at_ms: now_ms + self.token_lifetime_ms })
    }

    /// The account that `request` makes, or that an earlier one like it made.
    async fn register_or_find(
        &self,
        scope: String,
        request: RegisterRequest,
    ) -> Result<User, Error> {
        let password = SecretString::from(request.password);
        let now_ms = self.clock.now_ms();
        let user = User {
            id: Uuid::now_v7(),
            email: canonical_email(&request.email),
            display_name: request.display_name,
            is_staff: false,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
            version: 1,
        };
        // Without the password: a fast hash of it must not be kept. A repeat proves it below instead.
        let key = (!request.request_id.is_empty()).then(|| RequestKey {
            scope,
            method: "Register",
            request_id: request.request_id,
            fingerprint: idempotency::fingerprint(&RegisterRequest {
                email: user.email.clone(),
                display_name: user.display_name.clone(),
                ..RegisterRequest::default()
            }),
        });
        let hash = self.passwords.hash(password.clone()).await?;
        match self.store.register(user, hash, key).await? {
            Registered::New(user) => Ok(user),
            Registered::Before(user) => {
                let stored = self.store.credentials(&user.email).await?.map(|(_, hash)| hash);
                match self.passwords.verify(password, stored).await? {
                    true => Ok(user),
                    false => Err(Error::RequestIdReused),
                }
            }
        }
    }
}

#[tonic::async_trait]
impl UserService for Service {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let scope = Caller::of(&request).scope();
        let user = self.register_or_find(scope, request.into_inner()).await?;
        let token = self.token(&user)?;
        Ok(Response::new(RegisterResponse {
            user: Some(wire::user(&user)),
            access_token: token.text,
            expire_time: Some(timestamp(token.expires_at_ms)),
            refresh_token: self.sessions.open(user.id).await?,
        }))
    }

    async fn login(
        &self,
        request: Request<LoginRequest>,
    ) -> Result<Response<LoginResponse>, Status> {
        let LoginRequest { email, password, .. } = request.into_inner();
        let found = self.store.credentials(&canonical_email(&email)).await?;
        let (user, hash) = found.unzip();
        let proven = self.passwords.verify(SecretString::from(password), hash).await?;
        let user = user.filter(|_| proven).ok_or(Error::BadCredentials)?;
        let token = self.token(&user)?;
        Ok(Response::new(LoginResponse {
            user: Some(wire::user(&user)),
            access_token: token.text,
            expire_time: Some(timestamp(token.expires_at_ms)),
            refresh_token: self.sessions.open(user.id).await?,
        }))
    }

    async fn refresh_token(
        &self,
        request: Request<RefreshTokenRequest>,
    ) -> Result<Response<RefreshTokenResponse>, Status> {
        let RefreshTokenRequest { refresh_token, request_id } = request.into_inner();
        let presented = RefreshToken::parse(&refresh_token).ok_or(Error::BadRefreshToken)?;
        // First, so that no token is used up when accounts cannot be read. Roles are those of now.
        let user = self.store.user(presented.session.user_id).await?;
        let user = user.ok_or(Error::BadRefreshToken)?;
        let refresh_token = self.sessions.renew(&presented, &request_id).await?;
        let token = self.token(&user)?;
        Ok(Response::new(RefreshTokenResponse {
            access_token: token.text,
            expire_time: Some(timestamp(token.expires_at_ms)),
            refresh_token,
        }))
    }

    async fn logout(
        &self,
        request: Request<LogoutRequest>,
    ) -> Result<Response<LogoutResponse>, Status> {
        let user_id = Caller::of(&request).user_id()?;
        self.sessions.close(user_id, &request.get_ref().refresh_token).await?;
        Ok(Response::new(LogoutResponse {}))
    }

    async fn get_user(
        &self,
        request: Request<GetUserRequest>,
    ) -> Result<Response<GetUserResponse>, Status> {
        let user_id = wire::uuid(&request.get_ref().user_id, "user_id")?;
        Caller::of(&request).may_act_for(&user_id)?;
        let user = self.store.user(user_id).await?.ok_or(Error::UserNotFound)?;
        Ok(Response::new(GetUserResponse { user: Some(wire::user(&user)) }))
    }

    async fn list_addresses(
        &self,
        request: Request<ListAddressesRequest>,
    ) -> Result<Response<ListAddressesResponse>, Status> {
        Ok(Response::new(self.addresses.list(request).await?))
    }

    async fn create_address(
        &self,
        request: Request<CreateAddressRequest>,
    ) -> Result<Response<CreateAddressResponse>, Status> {
        Ok(Response::new(self.addresses.create(request).await?))
    }

    async fn update_address(
        &self,
        request: Request<UpdateAddressRequest>,
    ) -> Result<Response<UpdateAddressResponse>, Status> {
        Ok(Response::new(self.addresses.update(request).await?))
    }

    async fn delete_address(
        &self,
        request: Request<DeleteAddressRequest>,
    ) -> Result<Response<DeleteAddressResponse>, Status> {
        Ok(Response::new(self.addresses.delete(request).await?))
    }
}
