//! Where carts are kept is a setting, and what is secret in it stays so.

use souk_cart::{Config, config};
use souk_mesh::config::Sources;

fn load(flags: &[(&str, &str)]) -> Result<Config, String> {
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let sources = Sources { flags: flags.collect(), ..Sources::default() };
    sources.load().map_err(|error| error.to_string())
}

#[test]
fn carts_are_kept_in_sqlite_unless_redis_is_named() {
    assert_eq!(load(&[]).unwrap().store, config::Store::Sqlite);
    let flags = [
        ("store", "redis"),
        ("redis.url", "redis://shop:hidden@carts:1"),
        ("redis.command_limit_ms", "70"),
    ];
    let config = load(&flags).unwrap();
    assert_eq!((config.store, config.redis.command_limit_ms), (config::Store::Redis, 70));
    assert_eq!(config.redis.url.to_string(), "carts:1");
    assert!(!format!("{config:?}").contains("hidden"), "{config:?}");
}

#[test]
fn a_setting_that_does_not_fit_is_named_without_its_secret() {
    let refused = load(&[("redis.url", "rediss://shop:hidden@carts:1")]).unwrap_err();
    assert!(refused.contains("redis.url") && !refused.contains("hidden"), "{refused}");
    let refused = load(&[("store", "cassandra")]).unwrap_err();
    assert!(refused.contains("store"), "{refused}");
}
