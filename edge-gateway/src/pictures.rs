//! `/pictures/<product id>.svg`: what the catalog draws, as a browser wants it.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use souk_mesh::client::Channel;
use souk_proto::catalog::v1::GetProductPictureRequest;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use tonic::Code;

/// Pictures follow a product's name and category, which seldom change.
const ONE_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");
/// A picture opened on its own must not run anything.
const INERT: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");

/// The route of all pictures.
pub fn routes(catalog: Channel) -> Router {
    Router::new()
        .route("/pictures/{file}", get(picture))
        .with_state(CatalogServiceClient::new(catalog))
}

async fn picture(
    State(mut catalog): State<CatalogServiceClient<Channel>>,
    Path(file): Path<String>,
) -> Response {
    let Some(product_id) = file.strip_suffix(".svg").map(str::to_owned) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match catalog.get_product_picture(GetProductPictureRequest { product_id }).await {
        Ok(answer) => {
            let picture = answer.into_inner();
            let headers = [
                (CONTENT_TYPE, HeaderValue::from_str(&picture.content_type).ok()),
                (CACHE_CONTROL, Some(ONE_HOUR)),
                (CONTENT_SECURITY_POLICY, Some(INERT)),
                (X_CONTENT_TYPE_OPTIONS, Some(HeaderValue::from_static("nosniff"))),
            ];
            let headers: axum::http::HeaderMap =
                headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            (headers, picture.content).into_response()
        }
        Err(refusal) => match refusal.code() {
            Code::NotFound | Code::InvalidArgument => StatusCode::NOT_FOUND,
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::BAD_GATEWAY,
        }
        .into_response(),
    }
}
