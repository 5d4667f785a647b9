//! `souk events …`: looks after events that a service gave up on, over the internal port.

mod replay;
mod show;

use anyhow::Result;
use clap::{Args, Subcommand};
use souk_proto::mesh::v1::event_admin_service_client::EventAdminServiceClient;
use souk_proto::mesh::v1::{DeadLetter, ListDeadLettersRequest};
use souk_proto::time;

use crate::config::Config;
use crate::operator::{self, Operator};
use crate::workflow::moment;
use crate::workflow::output::{Output, print_json};

/// Most dead letters that are printed.
const MAX_LISTED: u16 = 1_000;
/// Dead letters fetched at a time.
const PAGE: usize = 200;

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Dead letters: events that a consumer gave up on.
    #[command(subcommand)]
    Dead(Dead),
}

/// What to do with dead letters.
#[derive(Subcommand)]
pub enum Dead {
    /// Lists dead letters, newest first.
    List(List),
    /// Shows one dead letter with its event.
    Show(show::Show),
    /// Puts dead letters back into their queues, the oldest first, with all their attempts before them.
    Replay(replay::Replay),
}

/// Which dead letters to list.
#[derive(Args)]
pub struct List {
    /// Only of this queue.
    #[arg(long, default_value = "")]
    queue: String,
    /// At most this many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_LISTED)))]
    limit: u16,
    /// A table for people, or a line of JSON per dead letter.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

type Client = EventAdminServiceClient<Operator>;

/// Does what is asked, on the shop that `config` describes.
pub async fn run(config: &Config, command: Command) -> Result<()> {
    let mut client = EventAdminServiceClient::new(operator::connect(config).await?);
    let Command::Dead(dead) = command;
    match dead {
        Dead::List(list) => print(&mut client, list).await,
        Dead::Show(show) => show::print(&mut client, show).await,
        Dead::Replay(replay) => replay::run(&mut client, replay).await,
    }
}

async fn print(client: &mut Client, list: List) -> Result<()> {
    if list.output == Output::Text {
        println!(
            "{:<20} {:<24} {:<22} {:<38} {:<21} {:>5}  REASON",
            "DEAD LETTER", "QUEUE", "EVENT", "OF", "DEAD SINCE", "TRIES"
        );
    }
    let mut left = usize::from(list.limit);
    let mut page_token = String::new();
    while left > 0 {
        let page_size = left.min(PAGE) as i32;
        let queue = list.queue.clone();
        let request = ListDeadLettersRequest { page_size, page_token, queue };
        let page = client.list_dead_letters(request).await?.into_inner();
        for letter in &page.dead_letters {
            match list.output {
                Output::Text => print_row(letter),
                Output::Json => print_json("souk.mesh.v1.DeadLetter", letter)?,
            }
        }
        left = left.saturating_sub(page.dead_letters.len());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(())
}

fn print_row(letter: &DeadLetter) {
    let event = letter.event.as_ref();
    println!(
        "{:<20} {:<24} {:<22} {:<38} {:<21} {:>5}  {}",
        letter.dead_letter_id,
        letter.queue,
        event.map_or("", |event| &event.r#type),
        event.map_or("", |event| &event.aggregate_id),
        since(letter),
        letter.attempts,
        letter.reason.lines().next().unwrap_or_default(),
    );
}

/// When a dead letter was given up.
fn since(letter: &DeadLetter) -> String {
    letter.dead_time.as_ref().map_or_else(String::new, |at| moment(time::unix_ms(at)))
}
