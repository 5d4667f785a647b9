//! Address books.

use souk_mesh::identity::Role;
use souk_mesh::testing::signed;
use souk_proto::user::v1::{
    Address, CreateAddressRequest, DeleteAddressRequest, ListAddressesRequest, PostalAddress,
    UpdateAddressRequest,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{Shop, assert_refused};

/// A customer and her book. Her account need not exist: the token tells who she is.
struct Book {
    shop: Shop,
    owner: Uuid,
}

impl Book {
    /// Registers the owner, whom the addresses refer to.
    async fn open() -> Self {
        let shop = Shop::open().await;
        let registered = shop.register("amina@example.com", "correct horse").await.unwrap();
        let owner = registered.user.unwrap().user_id.parse().unwrap();
        Self { shop, owner }
    }

    async fn create(&self, request: CreateAddressRequest) -> Result<Address, Status> {
        let request = signed(&self.shop.platform, &self.owner, Role::Customer, request);
        let answer = self.shop.users.clone().create_address(request).await?;
        Ok(answer.into_inner().address.unwrap())
    }

    async fn update(&self, request: UpdateAddressRequest) -> Result<Address, Status> {
        let request = signed(&self.shop.platform, &self.owner, Role::Customer, request);
        let answer = self.shop.users.clone().update_address(request).await?;
        Ok(answer.into_inner().address.unwrap())
    }

    async fn page(&self, page_size: i32, page_token: &str) -> (Vec<Address>, String) {
        let request = ListAddressesRequest {
            user_id: self.owner.to_string(),
            page_size,
            page_token: page_token.to_owned(),
        };
        let request = signed(&self.shop.platform, &self.owner, Role::Customer, request);
        let answer = self.shop.users.clone().list_addresses(request).await.unwrap().into_inner();
        (answer.addresses, answer.next_page_token)
    }

    fn address(&self, label: &str) -> CreateAddressRequest {
        CreateAddressRequest {
            request_id: Uuid::new_v4().to_string(),
            user_id: self.owner.to_string(),
            label: label.to_owned(),
            postal: Some(postal("12 Rue des Épices")),
            is_default: false,
        }
    }
}

fn postal(line1: &str) -> PostalAddress {
    PostalAddress {
        recipient: "Amina Haddad".to_owned(),
        line1: line1.to_owned(),
        city: "Paris".to_owned(),
        country: "FR".to_owned(),
        ..PostalAddress::default()
    }
}

#[tokio::test]
async fn the_first_address_is_the_default_until_another_one_is() {
    let book = Book::open().await;
    let home = book.create(book.address("home")).await.unwrap();
    assert!(home.is_default);
    let mut work = book.address("work");
    work.is_default = true;
    book.create(work).await.unwrap();
    let (addresses, _) = book.page(0, "").await;
    let defaults: Vec<_> = addresses.iter().map(|a| (a.label.as_str(), a.is_default)).collect();
    assert_eq!(defaults, [("home", false), ("work", true)]);
}

#[tokio::test]
async fn a_repeat_adds_nothing() {
    let book = Book::open().await;
    let request = book.address("home");
    let first = book.create(request.clone()).await.unwrap();
    assert_eq!(book.create(request.clone()).await.unwrap(), first);
    assert_eq!(book.page(0, "").await.0.len(), 1);
    let other = CreateAddressRequest { label: "office".to_owned(), ..request };
    assert_refused(book.create(other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn a_change_says_what_it_is_based_on() {
    let book = Book::open().await;
    let home = book.create(book.address("home")).await.unwrap();
    let change = UpdateAddressRequest {
        user_id: book.owner.to_string(),
        address_id: home.address_id.clone(),
        postal: Some(postal("1 Avenue Neuve")),
        etag: home.etag.clone(),
        ..UpdateAddressRequest::default()
    };
    let moved = book.update(change.clone()).await.unwrap();
    assert_eq!(moved.postal.as_ref().unwrap().line1, "1 Avenue Neuve");
    assert_eq!(moved.label, "home", "what is not named stays");
    assert_refused(book.update(change.clone()).await, Code::Aborted, "ETAG_MISMATCH");

    let mask = |path: &str| Some(prost_types::FieldMask { paths: vec![path.to_owned()] });
    let unknown = UpdateAddressRequest { update_mask: mask("user_id"), ..change.clone() };
    assert_refused(book.update(unknown).await, Code::InvalidArgument, "INVALID_FIELDS");
    let emptied = UpdateAddressRequest {
        update_mask: mask("postal"),
        postal: None,
        etag: String::new(),
        ..change
    };
    assert_refused(book.update(emptied).await, Code::InvalidArgument, "INVALID_FIELDS");
}

#[tokio::test]
async fn pages_show_every_address_once() {
    let book = Book::open().await;
    for number in 0..5 {
        book.create(book.address(&number.to_string())).await.unwrap();
    }
    let (mut seen, mut token) = book.page(2, "").await;
    while !token.is_empty() {
        let (more, next) = book.page(2, &token).await;
        seen.extend(more);
        token = next;
    }
    let labels: Vec<_> = seen.iter().map(|address| address.label.as_str()).collect();
    assert_eq!(labels, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_book_is_bounded_and_its_owners_alone() {
    let book = Book::open().await;
    for number in 0..souk_user::domain::MAX_ADDRESSES {
        book.create(book.address(&number.to_string())).await.unwrap();
    }
    let one_more = book.create(book.address("one more")).await;
    assert_refused(one_more, Code::FailedPrecondition, "TOO_MANY_ADDRESSES");

    let request = ListAddressesRequest { user_id: book.owner.to_string(), ..Default::default() };
    let stranger = signed(&book.shop.platform, &Uuid::new_v4(), Role::Customer, request);
    let answer = book.shop.users.clone().list_addresses(stranger).await;
    assert_refused(answer, Code::PermissionDenied, "NOT_YOURS");
}

#[tokio::test]
async fn removing_twice_is_removing_once() {
    let book = Book::open().await;
    let home = book.create(book.address("home")).await.unwrap();
    for _ in 0..2 {
        let request = DeleteAddressRequest {
            user_id: book.owner.to_string(),
            address_id: home.address_id.clone(),
            ..DeleteAddressRequest::default()
        };
        let request = signed(&book.shop.platform, &book.owner, Role::Customer, request);
        book.shop.users.clone().delete_address(request).await.unwrap();
    }
    assert!(book.page(0, "").await.0.is_empty());
}
