//! `souk schedule …`: has the clock start runs, over the internal port.

mod definition;
mod list;
mod show;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use souk_proto::time;
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use souk_proto::workflow::v1::{
    BackfillScheduleRequest, CreateScheduleRequest, DeleteScheduleRequest, DescribeScheduleRequest,
    PauseScheduleRequest, ScheduleDetail, TriggerScheduleRequest, UnpauseScheduleRequest,
    UpdateScheduleRequest,
};
use uuid::Uuid;

use crate::config::Config;
use crate::operator::{self, Operator};
use crate::workflow::output::{Output, print_json};
use definition::{Definition, Overlap};

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Makes a schedule, and prints its next times.
    Create(Box<Create>),
    /// Lists schedules.
    List(list::List),
    /// Shows one schedule: what it is told, its next times, and its last runs.
    Show(show::Show),
    /// Changes what a schedule is told; what is not named stays.
    Update(Box<Update>),
    /// Has a schedule start nothing by itself.
    Pause(Pause),
    /// Lets a paused schedule go on, with what its catch-up window lets it make up for.
    Unpause(Unpause),
    /// Has a schedule start a run now, paused or not.
    Trigger(Trigger),
    /// Runs the times of a range that have passed, except those that have run.
    Backfill(Backfill),
    /// Removes a schedule. Runs that it has started go on.
    Delete(Delete),
}

/// The schedule to make.
#[derive(Args)]
pub struct Create {
    /// Its id.
    schedule_id: String,
    #[command(flatten)]
    definition: Definition,
    /// It begins paused.
    #[arg(long)]
    paused: bool,
    /// Why it does.
    #[arg(long, default_value = "", requires = "paused")]
    note: String,
}

/// The schedule to change.
#[derive(Args)]
pub struct Update {
    /// Its id.
    schedule_id: String,
    #[command(flatten)]
    definition: Definition,
}

/// The schedule to pause.
#[derive(Args)]
pub struct Pause {
    /// Its id.
    schedule_id: String,
    /// Why, for those who look.
    #[arg(long, default_value = "paused")]
    note: String,
}

/// The schedule to unpause.
#[derive(Args)]
pub struct Unpause {
    /// Its id.
    schedule_id: String,
    /// The times of the pause count as missed, instead of being caught up.
    #[arg(long)]
    skip_missed: bool,
}

/// The schedule to run now.
#[derive(Args)]
pub struct Trigger {
    /// Its id.
    schedule_id: String,
    /// If a run has not ended [default: the schedule's policy].
    #[arg(long, value_enum)]
    overlap: Option<Overlap>,
}

/// What to run after the fact.
#[derive(Args)]
pub struct Backfill {
    /// The schedule's id.
    schedule_id: String,
    /// The first time, for example 2027-03-01T00:00:00Z.
    #[arg(long)]
    from: Timestamp,
    /// The last time.
    #[arg(long)]
    to: Timestamp,
    /// Where runs meet.
    #[arg(long, value_enum, default_value = "buffer-all")]
    overlap: Overlap,
}

/// The schedule to remove.
#[derive(Args)]
pub struct Delete {
    /// Its id.
    schedule_id: String,
}

type Client = WorkflowServiceClient<Operator>;

/// Does what is asked, on the shop that `config` describes.
pub async fn run(config: &Config, command: Command) -> Result<()> {
    let mut client = WorkflowServiceClient::new(operator::connect(config).await?);
    match command {
        Command::List(list) => list::print(&mut client, list).await,
        Command::Show(show) => show::print(&mut client, show).await,
        command => act(&mut client, command).await,
    }
}

async fn act(client: &mut Client, command: Command) -> Result<()> {
    let request_id = Uuid::new_v4().to_string();
    match command {
        Command::Create(create) => self::create(client, request_id, *create).await?,
        Command::Update(update) => self::update(client, request_id, *update).await?,
        Command::Trigger(trigger) => self::trigger(client, request_id, trigger).await?,
        Command::Backfill(backfill) => self::backfill(client, request_id, backfill).await?,
        Command::Pause(Pause { schedule_id, note }) => {
            client.pause_schedule(PauseScheduleRequest { request_id, schedule_id, note }).await?;
            println!("paused");
        }
        Command::Unpause(Unpause { schedule_id, skip_missed }) => {
            let request = UnpauseScheduleRequest { request_id, schedule_id, skip_missed };
            client.unpause_schedule(request).await?;
            println!("goes on");
        }
        Command::Delete(Delete { schedule_id }) => {
            client.delete_schedule(DeleteScheduleRequest { request_id, schedule_id }).await?;
            println!("deleted");
        }
        Command::List(_) | Command::Show(_) => {}
    }
    Ok(())
}

async fn create(client: &mut Client, request_id: String, create: Create) -> Result<()> {
    let Create { schedule_id, definition, paused, note } = create;
    let schedule = Some(definition.make()?);
    let zone = show::zone_of(schedule.as_ref());
    let request = CreateScheduleRequest { request_id, schedule_id, schedule, paused, note };
    let created = client.create_schedule(request).await?.into_inner();
    println!("created; next times:");
    show::print_times(&created.next_times, &zone);
    Ok(())
}

async fn update(client: &mut Client, request_id: String, update: Update) -> Result<()> {
    let Update { schedule_id, definition } = update;
    let before = describe(client, &schedule_id).await?;
    let schedule = Some(definition.change(before.schedule.unwrap_or_default())?);
    let zone = show::zone_of(schedule.as_ref());
    let expected_version = before.version;
    let request = UpdateScheduleRequest { request_id, schedule_id, schedule, expected_version };
    let updated = client.update_schedule(request).await?.into_inner();
    println!("version {}; next times:", updated.version);
    show::print_times(&updated.next_times, &zone);
    Ok(())
}

async fn trigger(client: &mut Client, request_id: String, trigger: Trigger) -> Result<()> {
    let Trigger { schedule_id, overlap } = trigger;
    let overlap = overlap.map(Overlap::wire).unwrap_or_default().into();
    let request = TriggerScheduleRequest { request_id, schedule_id, overlap };
    let triggered = client.trigger_schedule(request).await?.into_inner();
    match (triggered.workflow_id.as_str(), triggered.waiting) {
        ("", true) => println!("waits for a run to end"),
        ("", false) => {
            println!("skipped: a run has not ended (--overlap says what else may happen)")
        }
        (workflow_id, _) => println!("started {workflow_id}"),
    }
    Ok(())
}

async fn backfill(client: &mut Client, request_id: String, backfill: Backfill) -> Result<()> {
    let Backfill { schedule_id, from, to, overlap } = backfill;
    let request = BackfillScheduleRequest {
        request_id,
        schedule_id,
        start_time: Some(time::timestamp(from.as_millisecond())),
        end_time: Some(time::timestamp(to.as_millisecond())),
        overlap: overlap.wire().into(),
    };
    let filled = client.backfill_schedule(request).await?.into_inner();
    println!("{} start now, {} wait, {} skipped", filled.started, filled.waiting, filled.skipped);
    Ok(())
}

async fn describe(client: &mut Client, schedule_id: &str) -> Result<ScheduleDetail> {
    let request = DescribeScheduleRequest { schedule_id: schedule_id.to_owned() };
    let described = client.describe_schedule(request).await?.into_inner();
    described.schedule.context("the answer is empty")
}
