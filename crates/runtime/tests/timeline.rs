#![cfg(not(loom))]
//! Timelines with real threads and tasks.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use wootz_runtime::timeline::{Fault, Ready, Ticket, Timeline};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn tickets_are_issued_in_order_and_done_in_order() {
    let timeline = Timeline::new();
    assert!(timeline.is_done(Ticket::ZERO));
    let (first, second) = (timeline.issue(), timeline.issue());
    assert_eq!((first.number(), second.number()), (1, 2));
    assert!(!timeline.is_done(first));
    timeline.complete(second);
    assert!(timeline.is_done(first) && timeline.is_done(second));
    timeline.complete(first);
    assert_eq!(timeline.completed(), second, "progress never goes back");
    assert_eq!(timeline.wait(first), Ok(()));
}

#[test]
fn advance_is_issue_and_complete_even_after_work_in_flight() {
    let timeline = Timeline::new();
    assert_eq!(timeline.advance().number(), 1);
    let open = timeline.issue();
    let after = timeline.advance();
    assert!(timeline.is_done(open) && timeline.is_done(after));
    assert_eq!(timeline.submitted(), after);
}

#[test]
fn a_ticket_of_another_stream_is_an_error_and_not_a_hang() {
    let timeline = Timeline::new();
    timeline.advance();
    let message = timeline
        .wait(Ticket::from_number(5))
        .unwrap_err()
        .to_string();
    assert_eq!(message, "ticket 5 is not of this stream, whose last is 1");
    assert_eq!(timeline.fault(), None, "the stream itself is well");
}

#[test]
fn every_waiting_thread_wakes_at_its_own_ticket() {
    let timeline = Timeline::new();
    let tickets: Vec<_> = (0..8).map(|_| timeline.issue()).collect();
    let (sender, woken) = mpsc::channel();
    thread::scope(|scope| {
        for &ticket in &tickets {
            let (timeline, sender) = (&timeline, sender.clone());
            scope.spawn(move || {
                timeline.wait(ticket).unwrap();
                sender.send(ticket).unwrap();
            });
        }
        for &ticket in &tickets {
            // Long enough that most waiters are past spinning and parked.
            thread::sleep(Duration::from_millis(1));
            timeline.complete(ticket);
            assert_eq!(woken.recv().unwrap(), ticket);
        }
    });
}

#[test]
fn a_fault_stays_and_the_first_one_is_told() {
    let timeline = Arc::new(Timeline::new());
    let (done, open) = (timeline.issue(), timeline.issue());
    timeline.complete(done);
    let waiter = thread::spawn({
        let timeline = timeline.clone();
        move || timeline.wait(open)
    });
    timeline.fail(Fault::new("stream 3: device lost"));
    timeline.fail(Fault::new("stream 3: later"));
    let fault = Fault::new("stream 3: device lost");
    assert_eq!(waiter.join().unwrap(), Err(fault.clone()));
    assert_eq!(timeline.wait(open), Err(fault.clone()));
    assert_eq!(timeline.wait(done), Err(fault.clone()));
    assert_eq!(timeline.wait(timeline.issue()), Err(fault));
}

#[test]
fn a_task_is_woken_once_its_ticket_is_done_and_not_before() {
    let timeline = Timeline::new();
    let (first, second) = (timeline.issue(), timeline.issue());
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut context = Context::from_waker(&waker);
    let mut ready = pin!(Ready::new(&timeline, second));
    assert_eq!(ready.as_mut().poll(&mut context), Poll::Pending);
    assert_eq!(ready.as_mut().poll(&mut context), Poll::Pending);
    timeline.complete(first);
    assert_eq!(count.0.load(SeqCst), 0);
    timeline.complete(second);
    assert_eq!(count.0.load(SeqCst), 1);
    assert_eq!(ready.as_mut().poll(&mut context), Poll::Ready(Ok(())));
}

#[test]
fn a_cancelled_task_leaves_nothing_behind() {
    let timeline = Timeline::new();
    let ticket = timeline.issue();
    let count = Arc::new(Count::default());
    for _ in 0..1_000 {
        let waker = Waker::from(count.clone());
        let mut ready = pin!(Ready::new(&timeline, ticket));
        assert_eq!(
            ready.as_mut().poll(&mut Context::from_waker(&waker)),
            Poll::Pending
        );
        assert_eq!(Arc::strong_count(&count), 3, "this waker and its one clone");
    }
    assert_eq!(Arc::strong_count(&count), 1);
    timeline.complete(ticket);
    assert_eq!(count.0.load(SeqCst), 0);
}

/// A waker is somebody else's code. One that panics is its owner's trouble alone.
#[test]
fn a_waker_that_panics_keeps_no_one_from_waking() {
    struct Broken;
    impl Wake for Broken {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }
    let timeline = Timeline::new();
    let ticket = timeline.issue();
    let count = Arc::new(Count::default());
    let wakers = [Waker::from(Arc::new(Broken)), Waker::from(count.clone())];
    let mut tasks = [(); 2].map(|()| Box::pin(Ready::new(&timeline, ticket)));
    for (task, waker) in tasks.iter_mut().zip(&wakers) {
        let polled = task.as_mut().poll(&mut Context::from_waker(waker));
        assert_eq!(polled, Poll::Pending);
    }
    timeline.complete(ticket);
    assert_eq!(count.0.load(SeqCst), 1);
    assert_eq!(timeline.advance().number(), 2);
}

#[test]
fn many_more_tasks_than_a_first_chunk_of_slots_all_wake() {
    let timeline = Timeline::new();
    let ticket = timeline.issue();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut tasks: Vec<_> = (0..500)
        .map(|_| Box::pin(Ready::new(&timeline, ticket)))
        .collect();
    for task in &mut tasks {
        assert!(
            task.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    timeline.complete(ticket);
    assert_eq!(count.0.load(SeqCst), tasks.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_race_with_completion_never_hang() {
    for _ in 0..300 {
        let timeline = Arc::new(Timeline::new());
        let tickets: Vec<_> = (0..4).map(|_| timeline.issue()).collect();
        let tasks: Vec<_> = tickets
            .iter()
            .map(|&ticket| tokio::spawn(Ready::new(timeline.clone(), ticket)))
            .collect();
        tickets.iter().for_each(|&ticket| timeline.complete(ticket));
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ok(()));
        }
    }
}
