//! The address-book half of the service.

use std::sync::Arc;

use souk_mesh::clock::SharedClock;
use souk_mesh::identity::{Caller, Keys};
use souk_mesh::page::{self, Tokens};
use souk_proto::user::v1::{
    CreateAddressRequest, CreateAddressResponse, DeleteAddressRequest, DeleteAddressResponse,
    ListAddressesRequest, ListAddressesResponse, UpdateAddressRequest, UpdateAddressResponse,
};
use tonic::{Request, Status};
use uuid::Uuid;

use crate::domain::{Address, AddressChange, MAX_ADDRESSES, etag};
use crate::error::Error;
use crate::store::{RequestKey, UserStore};
use crate::wire;

/// Addresses on a page when the caller names no size.
const DEFAULT_PAGE_SIZE: u32 = 50;

/// Reads and changes address books on behalf of their owners.
pub struct Addresses {
    store: Arc<dyn UserStore>,
    clock: SharedClock,
    pages: Tokens,
}

impl Addresses {
    /// Over the same store as the accounts.
    pub fn new(store: Arc<dyn UserStore>, clock: SharedClock, keys: &Keys) -> Self {
        Self { store, clock, pages: Tokens::new(keys) }
    }

    /// One page of a user's addresses, oldest first.
    pub async fn list(
        &self,
        request: Request<ListAddressesRequest>,
    ) -> Result<ListAddressesResponse, Status> {
        let user_id = owner(&request, &request.get_ref().user_id)?;
        let ListAddressesRequest { page_size, page_token, .. } = request.into_inner();
        let scope = format!("addresses/{user_id}");
        let after: Option<Uuid> = self.pages.decode(&page_token, &scope)?;
        let size = page::size(page_size, DEFAULT_PAGE_SIZE, MAX_ADDRESSES as u32)? as usize;
        // One more than asked for tells whether there is a next page.
        let mut addresses = self.store.addresses(user_id, after, size + 1).await?;
        let more = addresses.len() > size;
        addresses.truncate(size);
        let next_page_token = match addresses.last() {
            Some(last) if more => self.pages.encode(&last.id, &scope)?,
            _ => String::new(),
        };
        let addresses = addresses.into_iter().map(wire::address).collect();
        Ok(ListAddressesResponse { addresses, next_page_token })
    }

    /// Adds an address.
    pub async fn create(
        &self,
        request: Request<CreateAddressRequest>,
    ) -> Result<CreateAddressResponse, Status> {
        let user_id = owner(&request, &request.get_ref().user_id)?;
        let sent = request.get_ref();
        let caller = Caller::of(&request);
        let key = RequestKey::if_any(&caller, "CreateAddress", &sent.request_id, sent);
        let CreateAddressRequest { label, postal, is_default, .. } = request.into_inner();
        let now_ms = self.clock.now_ms();
        let address = Address {
            id: Uuid::now_v7(),
            user_id,
            label,
            postal: postal.unwrap_or_default(),
            is_default,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
            version: 1,
        };
        let created = self.store.create_address(address, key).await?;
        Ok(CreateAddressResponse { address: Some(wire::address(created)) })
    }

    /// Changes what the mask names; without a mask, what the request sets.
    pub async fn update(
        &self,
        request: Request<UpdateAddressRequest>,
    ) -> Result<UpdateAddressResponse, Status> {
        let user_id = owner(&request, &request.get_ref().user_id)?;
        let request = request.into_inner();
        let address_id = wire::uuid(&request.address_id, "address_id")?;
        let version = version_of(&request.etag)?;
        let change = change_of(request)?;
        let changed = self
            .store
            .update_address(user_id, address_id, version, change, self.clock.now_ms())
            .await?;
        Ok(UpdateAddressResponse { address: Some(wire::address(changed)) })
    }

    /// Removes an address.
    pub async fn delete(
        &self,
        request: Request<DeleteAddressRequest>,
    ) -> Result<DeleteAddressResponse, Status> {
        let user_id = owner(&request, &request.get_ref().user_id)?;
        let request = request.into_inner();
        let address_id = wire::uuid(&request.address_id, "address_id")?;
        let version = version_of(&request.etag)?;
        self.store.delete_address(user_id, address_id, version).await?;
        Ok(DeleteAddressResponse {})
    }
}

/// The user whose book it is, once it is clear that the caller may open it.
fn owner<T>(request: &Request<T>, user_id: &str) -> Result<Uuid, Status> {
    let user_id = wire::uuid(user_id, "user_id")?;
    Caller::of(request).may_act_for(&user_id)?;
    Ok(user_id)
}

/// The version that an etag names; empty is any. An etag that we never gave fits no version.
fn version_of(given: &str) -> Result<Option<u64>, Error> {
    if given.is_empty() {
        return Ok(None);
    }
    let version = given.strip_prefix('v').and_then(|number| number.parse().ok());
    match version {
        Some(version) if etag(version) == given => Ok(Some(version)),
        _ => Err(Error::EtagMismatch),
    }
}

fn change_of(request: UpdateAddressRequest) -> Result<AddressChange, Error> {
    let UpdateAddressRequest { label, postal, is_default, update_mask, .. } = request;
    let paths = update_mask.map(|mask| mask.paths).unwrap_or_default();
    if paths.is_empty() {
        return Ok(AddressChange {
            label: (!label.is_empty()).then_some(label),
            postal,
            is_default: is_default.then_some(true),
        });
    }
    let mut change = AddressChange::default();
    for path in &paths {
        match path.as_str() {
            "label" => change.label = Some(label.clone()),
            "postal" => {
                change.postal = Some(postal.clone().ok_or(Error::PostalRequired)?);
            }
            "is_default" => change.is_default = Some(is_default),
            unknown => return Err(Error::UnknownMaskPath(unknown.to_owned())),
        }
    }
    Ok(change)
}
