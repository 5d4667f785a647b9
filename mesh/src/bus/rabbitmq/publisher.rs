//! Publishing with confirms.

use futures::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, PublisherConfirm};
use tokio::sync::Mutex;

use super::link::{Link, answer};
use super::message::Message;
use super::topology::{self, Names};
use crate::bus::Error;

/// Messages that are on their way to be confirmed, per call.
const MOST_UNCONFIRMED: usize = 1024;

pub(super) struct Publisher {
    link: Link,
    names: Names,
    /// Held while messages are written, so that those of a call are in one piece; not while they are
    /// waited for.
    channel: Mutex<Option<Channel>>,
}

impl Publisher {
    pub(super) fn new(link: Link, names: Names) -> Publisher {
        Publisher { link, names, channel: Mutex::new(None) }
    }

    /// Publishes in this order, and returns when the broker has all of them on disk, on most of its
    /// nodes. For each tells whether there was a queue for it.
    ///
    /// A channel keeps order, so a connection that breaks leaves the first ones and none after.
    pub(super) async fn publish(&self, messages: Vec<Message>) -> Result<Vec<bool>, Error> {
        let mut routed = Vec::with_capacity(messages.len());
        for part in messages.chunks(MOST_UNCONFIRMED) {
            let (channel, confirms) = self.write(part).await?;
            let confirmed = answer("publishing", try_join_all(confirms)).await;
            let confirmed = match confirmed {
                Ok(confirmed) => confirmed,
                Err(error) => {
                    self.forget(&channel).await;
                    return Err(error);
                }
            };
            for confirmation in confirmed {
                match confirmation {
                    Confirmation::Ack(returned) => routed.push(returned.is_none()),
                    Confirmation::Nack(_) | Confirmation::NotRequested => {
                        return Err(Error::Unconfirmed);
                    }
                }
            }
        }
        Ok(routed)
    }

    async fn write(&self, part: &[Message]) -> Result<(Channel, Vec<PublisherConfirm>), Error> {
        let mut slot = self.channel.lock().await;
        let channel = match slot.take() {
            Some(channel) if channel.status().connected() => channel,
            _ => self.open().await?,
        };
        let mut confirms = Vec::with_capacity(part.len());
        for message in part {
            confirms.push(answer("publishing", write(&channel, message)).await?);
        }
        // A channel that failed, or whose caller went away in the middle, is not used again.
        *slot = Some(channel.clone());
        Ok((channel, confirms))
    }

    async fn open(&self) -> Result<Channel, Error> {
        let channel = self.link.channel().await?;
        answer("declaring", async {
            topology::declare_common(&channel, &self.names).await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await
        })
        .await?;
        Ok(channel)
    }

    /// Something that was declared is gone: the next call declares it again.
    pub(super) async fn declare_again(&self) {
        *self.channel.lock().await = None;
    }

    async fn forget(&self, channel: &Channel) {
        self.channel.lock().await.take_if(|current| current.id() == channel.id());
    }
}

async fn write(channel: &Channel, message: &Message) -> lapin::Result<PublisherConfirm> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (exchange, routing_key) = (message.exchange.clone(), message.routing_key.clone());
    let properties = message.properties.clone();
    channel.basic_publish(exchange, routing_key, options, &message.body, properties).await
}
