//! Several ordered feeds read as one: the partitions of a table, each of which is ordered by itself.

use std::collections::VecDeque;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};

use crate::engine::tables::Error;

/// Feeds that are read at once.
const FEEDS_AT_ONCE: usize = 32;

/// Reads a page of a feed: those behind an item, so many at most, and whether that was all there is.
pub(super) type Fetch<'a, T> =
    Box<dyn Fn(Option<T>, usize) -> BoxFuture<'a, Result<Vec<T>, Error>> + Send + Sync + 'a>;

struct Feed<'a, T> {
    fetch: Fetch<'a, T>,
    page: VecDeque<T>,
    last: Option<T>,
    is_done: bool,
}

impl<T: Clone> Feed<'_, T> {
    async fn fill(&mut self, limit: usize) -> Result<(), Error> {
        if self.page.is_empty() && !self.is_done {
            let page = (self.fetch)(self.last.clone(), limit).await?;
            self.is_done = page.len() < limit;
            self.last = page.last().cloned().or(self.last.take());
            self.page = page.into();
        }
        Ok(())
    }
}

/// See the module.
pub(super) struct Merge<'a, T> {
    feeds: Vec<Feed<'a, T>>,
    page: usize,
}

impl<'a, T: Ord + Clone + Send> Merge<'a, T> {
    /// Begins to read; each feed's page has so many items.
    pub(super) async fn begin(
        feeds: Vec<Fetch<'a, T>>,
        page: usize,
    ) -> Result<Merge<'a, T>, Error> {
        let mut begun = Vec::with_capacity(feeds.len());
        for fetch in feeds {
            begun.push(async move {
                let mut feed = Feed { fetch, page: VecDeque::new(), last: None, is_done: false };
                feed.fill(page).await?;
                Ok::<_, Error>(feed)
            });
        }
        let feeds: Vec<Feed<'a, T>> =
            stream::iter(begun).buffer_unordered(FEEDS_AT_ONCE).try_collect().await?;
        let feeds = feeds.into_iter().filter(|feed| !feed.page.is_empty()).collect();
        Ok(Merge { feeds, page })
    }

    /// The next items, in order; an item that several feeds have comes once from each. Empty at the end.
    pub(super) async fn take(&mut self, limit: usize) -> Result<Vec<T>, Error> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            let heads = self.feeds.iter().enumerate();
            let first = heads.filter_map(|(at, feed)| Some((feed.page.front()?, at))).min();
            let Some((_, at)) = first else { break };
            let feed = &mut self.feeds[at];
            taken.extend(feed.page.pop_front());
            feed.fill(self.page).await?;
            if feed.page.is_empty() {
                self.feeds.swap_remove(at);
            }
        }
        Ok(taken)
    }
}
