//! Mail as files that a person can open: one `.eml` per notification.

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

impl Mailbox {
    /// Opens `folder`, making it where it is not there. `sender` is the `From` of every mail.
    pub fn open(folder: &Path, sender: &str) -> Result<Self, Error> {
        std::fs::create_dir_all(folder)
            .map_err(|source| Error::Mailbox { path: folder.to_owned(), source })?;
        let sender = sender.parse().map_err(|_| Error::BadSender(sender.to_owned()))?;
        Ok(Self { folder: folder.to_owned(), sender })
    }

    /// Writes the mail, durably, under the notification's own name: writing it again adds nothing.
    pub async fn deliver(&self, notification: &Notification) -> Result<PathBuf, Error> {
        let mail = self.mail(notification)?;
        let path = self.folder.join(format!("{}.eml", notification.id));
        let target = path.clone();
        tokio::task::spawn_blocking(move || write_whole(&target, &mail))
            .await
            .unwrap_or_else(|stopped| Err(std::io::Error::other(stopped)))
            .map_err(|source| Error::Mailbox { path: path.clone(), source })?;
        Ok(path)
    }

    fn mail(&self, notification: &Notification) -> Result<Vec<u8>, Error> {
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
        Ok(builder.body(notification.body.clone())?.formatted())
    }
}

/// A reader never sees half a mail: it is written aside, synced, and moved into place.
fn write_whole(path: &Path, mail: &[u8]) -> std::io::Result<()> {
    let aside = path.with_extension("part");
    let file = std::fs::File::create(&aside)?;
    std::io::Write::write_all(&mut &file, mail)?;
    file.sync_data()?;
    std::fs::rename(&aside, path)
}
