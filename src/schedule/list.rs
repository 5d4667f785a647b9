//! `souk schedule list`.

use anyhow::Result;
use clap::Args;
use souk_proto::workflow::v1::{ListSchedulesRequest, ScheduleSummary};

use super::show::{spec_text, time_text};
use super::{Client, Output, print_json};
use crate::workflow::{state_name, why};

/// How to list.
#[derive(Args)]
pub struct List {
    /// A table for people, or a line of JSON per schedule.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Prints all schedules.
pub async fn print(client: &mut Client, list: List) -> Result<()> {
    if list.output == Output::Text {
        println!(
            "{:<28} {:<20} {:<34} {:<21} {:<12} NOTE",
            "SCHEDULE", "TYPE", "TIMES", "NEXT", "LAST RUN"
        );
    }
    let mut page_token = String::new();
    loop {
        let request = ListSchedulesRequest { page_size: 0, page_token };
        let page = client.list_schedules(request).await?.into_inner();
        for schedule in &page.schedules {
            match list.output {
                Output::Text => print_row(schedule),
                Output::Json => print_json("souk.workflow.v1.ScheduleSummary", schedule)?,
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

fn print_row(schedule: &ScheduleSummary) {
    let next = match (schedule.paused, &schedule.next_time) {
        (true, _) => "paused".to_owned(),
        (false, None) => "never".to_owned(),
        (false, Some(time)) => time_text(time),
    };
    let note = schedule.failure.as_ref().map_or_else(|| schedule.note.clone(), why);
    println!(
        "{:<28} {:<20} {:<34} {:<21} {:<12} {note}",
        schedule.schedule_id,
        schedule.workflow_type,
        schedule.spec.as_ref().map_or_else(String::new, |spec| spec_text(spec).join("; ")),
        next,
        schedule.last_run.as_ref().map_or_else(String::new, |run| state_name(run.state())),
    );
}
