//! Schedules by gRPC: the calls, and what they refuse.

use souk_mesh::error::{reason_of, violations_of};
use souk_mesh::identity::Role;
use souk_orchestrator::workflows::place_order::TYPE as PLACE_ORDER;
use souk_proto::time::{duration, timestamp, unix_ms};
use souk_proto::workflow::v1::{
    BackfillScheduleRequest, CreateScheduleRequest, DeleteScheduleRequest, DescribeScheduleRequest,
    ListSchedulesRequest, ListWorkflowsRequest, PauseScheduleRequest, Schedule, ScheduleAction,
    ScheduleCron, ScheduleDetail, ScheduleInterval, ScheduleOverlap, SchedulePolicies,
    ScheduleSource, ScheduleSpec, TriggerScheduleRequest, UnpauseScheduleRequest,
    UpdateScheduleRequest, WorkflowState,
};
use std::time::Duration;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::workflows::world::{World, order};

const HOUR: Duration = Duration::from_secs(3_600);

fn request_id(number: u128) -> String {
    Uuid::from_u128(number).to_string()
}

/// An order by a card that is declined, at the full hour.
fn hourly() -> Schedule {
    let cron = ScheduleCron { expression: "0 * * * *".into(), time_zone: "Europe/Berlin".into() };
    Schedule {
        spec: Some(ScheduleSpec { crons: vec![cron], ..ScheduleSpec::default() }),
        action: Some(ScheduleAction {
            workflow_type: PLACE_ORDER.into(),
            input: serde_json::to_vec(&order("tok_declined")).unwrap().into(),
            ..ScheduleAction::default()
        }),
        ..Schedule::default()
    }
}

fn create_of(schedule_id: &str, request: u128, schedule: Schedule) -> CreateScheduleRequest {
    CreateScheduleRequest {
        request_id: request_id(request),
        schedule_id: schedule_id.into(),
        schedule: Some(schedule),
        ..CreateScheduleRequest::default()
    }
}

async fn create(world: &World, request: CreateScheduleRequest) -> Result<Vec<i64>, Status> {
    let created = world.workflows().create_schedule(world.staff(request)).await?;
    Ok(created.into_inner().next_times.iter().map(unix_ms).collect())
}

async fn describe(world: &World, schedule_id: &str) -> Result<ScheduleDetail, Status> {
    let request = DescribeScheduleRequest { schedule_id: schedule_id.into() };
    let described = world.workflows().describe_schedule(world.staff(request)).await?;
    Ok(described.into_inner().schedule.unwrap())
}

fn is(refused: &Status, code: Code, reason: &str) {
    assert_eq!((refused.code(), reason_of(refused).as_deref()), (code, Some(reason)), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_schedule_is_made_once_and_tells_what_it_has_done() {
    let world = World::new(1).await;
    world.shop.record_order(order("").order_id);
    let next = create(&world, create_of("hourly", 1, hourly())).await.unwrap();
    assert_eq!(next.len(), 5);
    assert!(next.windows(2).all(|pair| pair[1] - pair[0] == 3_600_000), "{next:?}");
    // Again, and another time by the same request.
    assert_eq!(create(&world, create_of("hourly", 1, hourly())).await.unwrap(), next);
    let other = create(&world, create_of("hourly", 2, hourly())).await.unwrap_err();
    is(&other, Code::AlreadyExists, "SCHEDULE_EXISTS");

    world.pass(HOUR * 3 + Duration::from_secs(60)).await;
    let detail = describe(&world, "hourly").await.unwrap();
    assert_eq!((detail.version, detail.paused, detail.waiting), (1, false, 0));
    assert_eq!(detail.counts.as_ref().unwrap().started, 3);
    let policies = detail.schedule.as_ref().unwrap().policies.as_ref().unwrap();
    assert_eq!(policies.overlap(), ScheduleOverlap::Skip);
    assert_eq!(policies.catch_up_window, Some(duration(24 * 3_600_000)));
    // The last one has ended too; the schedule looks when the next comes, whoever asks sees it now.
    assert_eq!((detail.running.len(), detail.recent.len()), (1, 2));
    assert_eq!(detail.running[0].state(), WorkflowState::Failed);
    let run = &detail.recent[0];
    assert_eq!((run.state(), run.source()), (WorkflowState::Failed, ScheduleSource::Clock));
    assert_eq!(run.failure.as_ref().unwrap().reason, "CARD_DECLINED");
    assert_eq!(run.scheduled_time.as_ref().map(unix_ms), Some(next[0]));
    let time = jiff::Timestamp::from_millisecond(next[0]).unwrap();
    assert_eq!(run.workflow_id, format!("hourly/{time}"));
    assert_eq!(detail.next_times.iter().map(unix_ms).next(), Some(next[3]));
    let filter = format!("schedule = \"hourly\" AND scheduled_time = \"{time}\"");
    let found = ListWorkflowsRequest { filter, ..ListWorkflowsRequest::default() };
    let found = world.workflows().list_workflows(world.staff(found)).await.unwrap().into_inner();
    let found: Vec<&str> = found.workflows.iter().map(|run| run.workflow_id.as_str()).collect();
    assert_eq!(found, [run.workflow_id.as_str()]);
}

/// A world with the schedule `hourly`.
async fn with_hourly(seed: u64) -> World {
    let world = World::new(seed).await;
    world.shop.record_order(order("").order_id);
    create(&world, create_of("hourly", 1, hourly())).await.unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn every_call_does_its_part_and_repetitions_change_nothing() {
    let world = with_hourly(2).await;
    let schedule_id = "hourly".to_owned();
    let mut workflows = world.workflows();

    let pause = PauseScheduleRequest {
        request_id: request_id(2),
        schedule_id: schedule_id.clone(),
        note: "stocktaking".into(),
    };
    workflows.pause_schedule(world.staff(pause)).await.unwrap();
    let detail = describe(&world, "hourly").await.unwrap();
    assert!(detail.paused && detail.note.starts_with("stocktaking (by "), "{}", detail.note);

    let trigger = TriggerScheduleRequest {
        request_id: request_id(3),
        schedule_id: schedule_id.clone(),
        ..TriggerScheduleRequest::default()
    };
    let first = workflows.trigger_schedule(world.staff(trigger.clone())).await.unwrap();
    let again = workflows.trigger_schedule(world.staff(trigger.clone())).await.unwrap();
    assert_eq!(first.get_ref(), again.get_ref());
    assert!(first.get_ref().workflow_id.ends_with("/trigger-1"));
    let changed = TriggerScheduleRequest { overlap: ScheduleOverlap::AllowAll.into(), ..trigger };
    let refused = workflows.trigger_schedule(world.staff(changed)).await.unwrap_err();
    is(&refused, Code::InvalidArgument, "REQUEST_ID_REUSED");

    let unpause = UnpauseScheduleRequest {
        request_id: request_id(4),
        schedule_id: schedule_id.clone(),
        skip_missed: false,
    };
    workflows.unpause_schedule(world.staff(unpause)).await.unwrap();
    assert!(!describe(&world, "hourly").await.unwrap().paused);

    let mut daily = hourly();
    let every = ScheduleInterval { every: Some(duration(24 * 3_600_000)), phase: None };
    daily.spec = Some(ScheduleSpec { intervals: vec![every], ..ScheduleSpec::default() });
    let update = UpdateScheduleRequest {
        request_id: request_id(5),
        schedule_id: schedule_id.clone(),
        schedule: Some(daily),
        expected_version: 1,
    };
    let updated = workflows.update_schedule(world.staff(update.clone())).await.unwrap();
    assert_eq!(updated.get_ref().version, 2);
    let update = UpdateScheduleRequest { request_id: request_id(6), ..update };
    let refused = workflows.update_schedule(world.staff(update)).await.unwrap_err();
    is(&refused, Code::Aborted, "VERSION_CONFLICT");
}

#[tokio::test(start_paused = true)]
async fn a_backfill_is_of_a_bounded_time_that_has_passed() {
    let world = with_hourly(6).await;
    let mut workflows = world.workflows();
    let now_ms = souk_orchestrator::engine::seams::Clock::now_ms(&*world.clock);
    let backfill = BackfillScheduleRequest {
        request_id: request_id(7),
        schedule_id: "hourly".to_owned(),
        start_time: Some(timestamp(now_ms - 3 * 3_600_000 - 1)),
        end_time: Some(timestamp(now_ms)),
        ..BackfillScheduleRequest::default()
    };
    let filled = workflows.backfill_schedule(world.staff(backfill.clone())).await.unwrap();
    assert!(filled.get_ref().started + filled.get_ref().waiting >= 3, "{filled:?}");
    let long = BackfillScheduleRequest {
        request_id: request_id(8),
        start_time: Some(timestamp(0)),
        ..backfill.clone()
    };
    let refused = workflows.backfill_schedule(world.staff(long)).await.unwrap_err();
    is(&refused, Code::InvalidArgument, "BACKFILL_TOO_LARGE");
    let future = BackfillScheduleRequest { end_time: Some(timestamp(now_ms + 60_000)), ..backfill };
    let refused = workflows.backfill_schedule(world.staff(future)).await.unwrap_err();
    assert_eq!(violations_of(&refused)[0].field, "end_time");
}

#[tokio::test(start_paused = true)]
async fn the_id_of_a_deleted_schedule_is_free() {
    let world = with_hourly(7).await;
    let mut workflows = world.workflows();
    let delete =
        DeleteScheduleRequest { request_id: request_id(9), schedule_id: "hourly".to_owned() };
    workflows.delete_schedule(world.staff(delete.clone())).await.unwrap();
    workflows.delete_schedule(world.staff(delete.clone())).await.unwrap();
    let other = DeleteScheduleRequest { request_id: request_id(10), ..delete };
    let refused = workflows.delete_schedule(world.staff(other)).await.unwrap_err();
    is(&refused, Code::NotFound, "SCHEDULE_NOT_FOUND");
    is(&describe(&world, "hourly").await.unwrap_err(), Code::NotFound, "SCHEDULE_NOT_FOUND");

    // What is made under it is new.
    create(&world, create_of("hourly", 11, hourly())).await.unwrap();
    assert_eq!(describe(&world, "hourly").await.unwrap().version, 1);
}

#[tokio::test(start_paused = true)]
async fn schedules_are_listed_page_by_page() {
    let world = World::new(3).await;
    for number in 0..5 {
        create(&world, create_of(&format!("s{number}"), number, hourly())).await.unwrap();
        world.pass(Duration::from_millis(10)).await;
    }
    world.pass(Duration::from_secs(2)).await;
    let (mut listed, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListSchedulesRequest { page_size: 2, page_token };
        let page = world.workflows().list_schedules(world.staff(request)).await.unwrap();
        let page = page.into_inner();
        listed.extend(page.schedules);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let ids: Vec<&str> = listed.iter().map(|schedule| schedule.schedule_id.as_str()).collect();
    assert_eq!(ids, ["s4", "s3", "s2", "s1", "s0"]);
    assert!(listed.iter().all(|schedule| schedule.next_time.is_some() && !schedule.paused));
    assert_eq!(listed[0].spec.as_ref().unwrap().crons[0].time_zone, "Europe/Berlin");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_with_its_field_and_leaves_nothing() {
    let world = World::new(4).await;
    let with_spec = |spec: ScheduleSpec| Schedule { spec: Some(spec), ..hourly() };
    let cron = |expression: &str, time_zone: &str| {
        let cron = ScheduleCron { expression: expression.into(), time_zone: time_zone.into() };
        with_spec(ScheduleSpec { crons: vec![cron], ..ScheduleSpec::default() })
    };
    let mut past = hourly();
    past.spec.as_mut().unwrap().end_time = Some(timestamp(1_000));
    let unknown =
        ScheduleAction { workflow_type: "return_order".into(), ..ScheduleAction::default() };
    let own = ScheduleAction { workflow_type: "souk.batch".into(), ..ScheduleAction::default() };
    let unfit = ScheduleAction { input: "{}".into(), ..hourly().action.unwrap() };
    let posing = ScheduleAction { workflow_id_prefix: "souk.x".into(), ..hourly().action.unwrap() };
    let eager =
        SchedulePolicies { catch_up_window: Some(duration(1)), ..SchedulePolicies::default() };
    for (schedule, field) in [
        (cron("0 25 * * *", ""), "schedule.spec.crons[0].expression"),
        (cron("0 3 * * *", "Mars/Olympus"), "schedule.spec.crons[0].time_zone"),
        (cron("0 0 30 2 *", ""), "schedule.spec"),
        (past, "schedule.spec"),
        (with_spec(ScheduleSpec::default()), "schedule.spec.crons"),
        (Schedule { action: Some(unknown), ..hourly() }, "schedule.action.workflow_type"),
        (Schedule { action: Some(own), ..hourly() }, "schedule.action.workflow_type"),
        (Schedule { action: Some(unfit), ..hourly() }, "schedule.action.input"),
        (Schedule { action: Some(posing), ..hourly() }, "schedule.action.workflow_id_prefix"),
        (Schedule { action: None, ..hourly() }, "schedule.action"),
        (Schedule { policies: Some(eager), ..hourly() }, "schedule.policies.catch_up_window"),
    ] {
        let refused = create(&world, create_of("bad", 1, schedule)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}: {refused}");
        let fields: Vec<String> = violations_of(&refused).into_iter().map(|it| it.field).collect();
        assert_eq!(fields, [field], "{refused}");
    }
    is(&describe(&world, "bad").await.unwrap_err(), Code::NotFound, "SCHEDULE_NOT_FOUND");
    let list = ListSchedulesRequest { page_token: "made up".into(), ..Default::default() };
    let refused = world.workflows().list_schedules(world.staff(list)).await.unwrap_err();
    is(&refused, Code::InvalidArgument, "INVALID_PAGE_TOKEN");
}

#[tokio::test(start_paused = true)]
async fn only_staff_has_to_do_with_schedules() {
    let world = World::new(5).await;
    for role in [Role::Customer, Role::Service] {
        let request = world.signed(Uuid::from_u128(7), role, create_of("mine", 1, hourly()));
        let refused = world.workflows().create_schedule(request).await.unwrap_err();
        is(&refused, Code::PermissionDenied, "ROLE_REQUIRED");
    }
}
