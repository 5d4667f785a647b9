//! Mail as files that a person can open: one `.eml` per notification.
//!
//! The notification in the store is what counts; its file is written from it and not synced by itself, which would
//! cost more than all else about a mail. A process that is killed loses nothing of it. What a power cut may take, the
//! files of the last moments, is written again at the next start.

use std::path::{Path, PathBuf};

use lettre::Message;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox as Address, MessageBuilder};

use crate::domain::Notification;
use crate::error::Error;

/// The folder's name inside the service's data folder.
pub const FOLDER: &str = "outbox";

/// A folder of mail.
#[derive(Clone, Debug)]
pub struct Mailbox {
    folder: PathBuf,
    sender: Address,
}

/// A mail and the file that it belongs into.
#[derive(Clone, Debug)]
pub struct Mail {
    path: PathBuf,
    text: Vec<u8>,
}

impl Mailbox {
    /// Opens `folder`, making it where it is not there. `sender` is the `From` of every mail.
    pub fn open(folder: &Path, sender: &str) -> Result<Self, Error> {
        std::fs::create_dir_all(folder)
            .map_err(|source| Error::Mailbox { path: folder.to_owned(), source })?;
        let sender = sender.parse().map_err(|_| Error::BadSender(sender.to_owned()))?;
        Ok(Self { folder: folder.to_owned(), sender })
    }

    /// The notification as a mail.
    pub fn compose(&self, notification: &Notification) -> Result<Mail, Error> {
        let recipient: Address = notification
            .recipient
            .parse()
            .map_err(|_| Error::BadRecipient(notification.recipient.clone()))?;
        let sent_at = std::time::UNIX_EPOCH
            + std::time::Duration::from_millis(notification.created_at_ms.unsigned_abs());
        let builder: MessageBuilder = Message::builder()
            .from(self.sender.clone())
            .to(recipient)
            .subject(&notification.subject)
            .date(sent_at)
            .message_id(Some(format!("<{}@souk.example>", notification.id)))
            .header(ContentType::TEXT_PLAIN);
        let text = builder.body(notification.body.clone())?.formatted();
        Ok(Mail { path: self.folder.join(format!("{}.eml", notification.id)), text })
    }

    /// Writes mails, each under its notification's own name: writing one again adds nothing. Not to be called at the
    /// same time for the same mail.
    pub async fn deliver(&self, mails: Vec<Mail>) -> Result<(), Error> {
        self.blocking(move || mails.iter().try_for_each(Mail::write)).await
    }

    /// Writes those of the mails again that are not there whole.
    pub async fn repair(&self, mails: Vec<Mail>) -> Result<(), Error> {
        self.blocking(move || {
            mails.iter().filter(|mail| !mail.is_whole()).try_for_each(Mail::write)
        })
        .await
    }

    async fn blocking(
        &self,
        work: impl FnOnce() -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|stopped| {
            let source = std::io::Error::other(stopped);
            Err(Error::Mailbox { path: self.folder.clone(), source })
        })
    }
}

impl Mail {
    /// A reader never sees half a mail: it is written aside and moved into place.
    fn write(&self) -> Result<(), Error> {
        let aside = self.path.with_extension("part");
        std::fs::write(&aside, &self.text)
            .and_then(|()| std::fs::rename(&aside, &self.path))
            .map_err(|source| Error::Mailbox { path: self.path.clone(), source })
    }

    fn is_whole(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|file| file.len() == self.text.len() as u64)
    }
}
