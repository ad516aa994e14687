//! Stories of uploads in several steps.

use lockyard_oci::{Algorithm, ContentRange, Digest};
use lockyard_registry::{Limits, Registry, RegistryError, UploadStatus, UploadTicket};

use crate::{
    Story, stories,
    support::{
        Base, World, append, body, cut_body, feed, is_unknown_blob, noise, pull, repo, sha256,
    },
};

pub(crate) const STORIES: &[Story] = stories!["sessions":
    a_session_takes_a_blob_in_pieces,
    a_session_may_end_with_its_last_piece,
    a_session_may_begin_and_end_at_once,
    a_session_without_content_makes_the_empty_blob,
    an_empty_step_adds_nothing,
    a_session_goes_on_after_a_restart,
    sha512_may_be_announced_or_come_as_a_surprise,
    a_client_without_a_generation_means_the_present_one,
    a_stale_generation_is_told_where_the_session_stands,
    a_chunk_out_of_order_is_told_where_the_session_stands,
    a_chunk_of_another_length_than_announced_changes_nothing,
    a_step_that_is_cut_keeps_what_arrived,
    a_finish_that_is_cut_keeps_what_was_there_before,
    a_wrong_digest_leaves_the_session_as_it_was,
    a_session_that_is_over_is_unknown,
    a_session_belongs_to_its_repository,
    a_cancelled_session_leaves_nothing,
    a_session_has_as_many_parts_as_it_may_and_can_still_finish,
    a_session_holds_the_largest_blob_and_not_one_byte_more,
    as_many_sessions_are_open_as_may_be,
    of_two_steps_at_once_one_wins,
    of_finish_and_cancel_one_wins,
    of_a_step_and_a_cancel_one_wins,
    a_client_that_goes_away_does_not_undo_what_it_sent,
    a_duplicate_links_and_its_parts_die,
];

fn range(text: &str) -> ContentRange {
    text.parse().unwrap()
}

async fn start(registry: &Registry) -> UploadStatus {
    registry.start_upload(&repo("app"), None).await.unwrap()
}

async fn finish(
    registry: &Registry,
    at: UploadStatus,
    content: &[u8],
    last: &[u8],
) -> Result<Digest, RegistryError> {
    registry.finish_upload(&repo("app"), at.ticket, &sha256(content), None, body(last)).await
}

async fn status(registry: &Registry, of: UploadStatus) -> Result<UploadStatus, RegistryError> {
    registry.upload_status(&repo("app"), of.ticket.id).await
}

fn stands_at(outcome: Result<UploadStatus, RegistryError>, expected: UploadStatus) {
    let Err(RegistryError::UploadRange { ticket, offset }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((ticket, offset), (expected.ticket, expected.offset));
}

async fn a_session_takes_a_blob_in_pieces(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let content = noise(1, 400_000);
    let mut at = start(&registry).await;
    assert_eq!(at.offset, 0);
    for piece in [0..1, 1..70_000, 70_000..70_010, 70_010..400_000] {
        assert_eq!(status(&registry, at).await.unwrap(), at);
        let end = piece.end as u64;
        at = append(&registry, "app", at, &content[piece]).await;
        assert_eq!(at.offset, end);
    }
    let digest = finish(&registry, at, &content, b"").await.unwrap();
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), content);
    assert_eq!(world.part_files().len(), 4);
    // A range that spans three parts.
    let asked = lockyard_oci::ByteRange::parse("bytes=69990-70020");
    let found = registry.read_blob(&repo("app"), &digest, asked).await.unwrap();
    assert_eq!(crate::support::drain(found.stream).await.unwrap(), &content[69_990..70_021]);
}

async fn a_session_may_end_with_its_last_piece(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let at = append(&registry, "app", start(&registry).await, b"first and ").await;
    let content = b"first and last";
    let digest = sha256(content);
    let (name, range) = (repo("app"), Some(range("10-13")));
    let last = registry.finish_upload(&name, at.ticket, &digest, range, body(b"last"));
    assert_eq!(last.await.unwrap(), digest);
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), content);
}

async fn a_session_may_begin_and_end_at_once(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let at = start(&registry).await;
    let digest = finish(&registry, at, b"content", b"content").await.unwrap();
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), b"content");
}

async fn a_session_without_content_makes_the_empty_blob(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let at = start(&registry).await;
    let digest = finish(&registry, at, b"", b"").await.unwrap();
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), b"");
}

async fn an_empty_step_adds_nothing(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let at = append(&registry, "app", start(&registry).await, b"").await;
    assert_eq!(at.offset, 0);
    let at = append(&registry, "app", at, b"content").await;
    let at = append(&registry, "app", at, b"").await;
    assert_eq!(at.offset, 7);
    assert_eq!(world.part_files().len(), 1);
    finish(&registry, at, b"content", b"").await.unwrap();
}

async fn a_session_goes_on_after_a_restart(base: Base) {
    let mut world = World::new(&base).await;
    let content = noise(2, 150_001);
    let mut at = start(&world.registry()).await;
    for piece in content.chunks(50_000) {
        at = append(&world.registry(), "app", at, piece).await;
        world.restart().await;
        assert_eq!(status(&world.registry(), at).await.unwrap(), at);
    }
    let digest = finish(&world.registry(), at, &content, b"").await.unwrap();
    assert_eq!(pull(&world.registry(), "app", &digest).await.unwrap(), content);
}

async fn sha512_may_be_announced_or_come_as_a_surprise(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let content = noise(3, 100_000);
    let digests = [Algorithm::Sha256, Algorithm::Sha512].map(|a| Digest::of(a, &content));
    for announced in [None, Some(Algorithm::Sha256), Some(Algorithm::Sha512)] {
        for digest in digests {
            let name = repo("app");
            let at = registry.start_upload(&name, announced).await.unwrap();
            let at = append(&registry, "app", at, &content[..60_000]).await;
            let last = body(&content[60_000..]);
            let made = registry.finish_upload(&name, at.ticket, &digest, None, last).await;
            assert_eq!(made.unwrap(), digest, "announced {announced:?}");
            assert_eq!(pull(&registry, "app", &digest).await.unwrap(), content);
            registry.delete_blob(&name, &digest).await.unwrap();
        }
    }
    let wrong = Digest::of(Algorithm::Sha512, b"other content");
    let at = append(&registry, "app", start(&registry).await, &content).await;
    let refused = registry.finish_upload(&repo("app"), at.ticket, &wrong, None, body(b"")).await;
    let Err(RegistryError::DigestMismatch { actual, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(*actual, digests[1]);
}

async fn a_client_without_a_generation_means_the_present_one(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let at = start(&registry).await;
    let ticket = UploadTicket { id: at.ticket.id, generation: None };
    for piece in [b"con", b"ten"] {
        registry.append_upload(&repo("app"), ticket, None, body(piece)).await.unwrap();
    }
    let digest = sha256(b"content");
    registry.finish_upload(&repo("app"), ticket, &digest, None, body(b"t")).await.unwrap();
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), b"content");
}

async fn a_stale_generation_is_told_where_the_session_stands(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (name, old) = (repo("app"), start(&registry).await);
    let now = append(&registry, "app", old, b"content").await;
    stands_at(registry.append_upload(&name, old.ticket, None, body(b"more")).await, now);
    let digest = sha256(b"content");
    let finished = registry.finish_upload(&name, old.ticket, &digest, None, body(b"")).await;
    stands_at(finished.map(|_| now), now);
    stands_at(registry.cancel_upload(&name, old.ticket).await.map(|()| now), now);
    let future = UploadTicket { generation: Some(9), ..now.ticket };
    stands_at(registry.append_upload(&name, future, None, body(b"more")).await, now);
    assert_eq!(status(&registry, old).await.unwrap(), now);
    finish(&registry, now, b"content", b"").await.unwrap();
}

async fn a_chunk_out_of_order_is_told_where_the_session_stands(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (name, at) = (repo("app"), start(&registry).await);
    stands_at(registry.append_upload(&name, at.ticket, Some(range("1-3")), body(b"abc")).await, at);
    let appended = registry.append_upload(&name, at.ticket, Some(range("0-2")), body(b"abc")).await;
    let at = appended.unwrap();
    for wrong in ["0-2", "2-4", "4-6"] {
        stands_at(
            registry.append_upload(&name, at.ticket, Some(range(wrong)), body(b"def")).await,
            at,
        );
        let digest = sha256(b"abcdef");
        let last =
            registry.finish_upload(&name, at.ticket, &digest, Some(range(wrong)), body(b"def"));
        stands_at(last.await.map(|_| at), at);
    }
    let at =
        registry.append_upload(&name, at.ticket, Some(range("3-5")), body(b"def")).await.unwrap();
    finish(&registry, at, b"abcdef", b"").await.unwrap();
}

async fn a_chunk_of_another_length_than_announced_changes_nothing(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (name, at) = (repo("app"), start(&registry).await);
    for wrong in ["0-1", "0-3"] {
        let refused =
            registry.append_upload(&name, at.ticket, Some(range(wrong)), body(b"abc")).await;
        assert!(matches!(refused, Err(RegistryError::LengthMismatch)), "{refused:?}");
        let refused = registry.append_upload(&name, at.ticket, Some(range(wrong)), body(b"")).await;
        assert!(matches!(refused, Err(RegistryError::LengthMismatch)), "{refused:?}");
        let digest = sha256(b"abc");
        let last =
            registry.finish_upload(&name, at.ticket, &digest, Some(range(wrong)), body(b"abc"));
        let refused = last.await;
        assert!(matches!(refused, Err(RegistryError::LengthMismatch)), "{refused:?}");
    }
    assert_eq!(status(&registry, at).await.unwrap(), at);
    finish(&registry, at, b"abc", b"abc").await.unwrap();
}

async fn a_step_that_is_cut_keeps_what_arrived(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (name, content) = (repo("app"), noise(4, 300_000));
    let at = start(&registry).await;
    let cut = registry.append_upload(&name, at.ticket, None, cut_body(b"")).await;
    assert!(matches!(cut, Err(RegistryError::BodyCut)), "{cut:?}");
    assert_eq!(status(&registry, at).await.unwrap().offset, 0, "nothing arrived");
    let mut arrived = 0;
    for length in [100, 200_000] {
        let at = status(&registry, at).await.unwrap();
        let announced = Some(range(&format!("{arrived}-299999")));
        let sent = cut_body(&content[arrived..arrived + length]);
        let cut = registry.append_upload(&name, at.ticket, announced, sent).await;
        assert!(matches!(cut, Err(RegistryError::BodyCut)), "{cut:?}");
        arrived += length;
        assert_eq!(status(&registry, at).await.unwrap().offset, arrived as u64);
    }
    let at = status(&registry, at).await.unwrap();
    let digest = finish(&registry, at, &content, &content[arrived..]).await.unwrap();
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), content);
}

async fn a_finish_that_is_cut_keeps_what_was_there_before(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let at = append(&registry, "app", start(&registry).await, b"first and ").await;
    let digest = sha256(b"first and last");
    for sent in [&b""[..], b"la", b"last"] {
        let last = cut_body(sent);
        let cut = registry.finish_upload(&repo("app"), at.ticket, &digest, None, last).await;
        assert!(matches!(cut, Err(RegistryError::BodyCut)), "{cut:?}");
        assert_eq!(status(&registry, at).await.unwrap(), at);
    }
    finish(&registry, at, b"first and last", b"last").await.unwrap();
}

async fn a_wrong_digest_leaves_the_session_as_it_was(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let at = append(&registry, "app", start(&registry).await, b"content").await;
    for last in [&b""[..], b" and more"] {
        let refused = finish(&registry, at, b"other content", last).await;
        let Err(RegistryError::DigestMismatch { actual, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(*actual, sha256(&[b"content", last].concat()));
        assert_eq!(status(&registry, at).await.unwrap(), at);
    }
    finish(&registry, at, b"content", b"").await.unwrap();
}

async fn a_session_that_is_over_is_unknown(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let name = repo("app");
    let finished = start(&registry).await;
    finish(&registry, finished, b"content", b"content").await.unwrap();
    let cancelled = start(&registry).await;
    registry.cancel_upload(&name, cancelled.ticket).await.unwrap();
    for over in [finished, cancelled] {
        let unknown = |outcome: Result<(), RegistryError>| {
            assert!(matches!(outcome, Err(RegistryError::UploadUnknown)), "{outcome:?}");
        };
        unknown(status(&registry, over).await.map(drop));
        unknown(registry.append_upload(&name, over.ticket, None, body(b"x")).await.map(drop));
        unknown(finish(&registry, over, b"x", b"x").await.map(drop));
        unknown(registry.cancel_upload(&name, over.ticket).await);
    }
}

async fn a_session_belongs_to_its_repository(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let at = start(&registry).await;
    crate::support::push(&registry, "other", b"x").await;
    for elsewhere in ["other", "nowhere"] {
        let asked = registry.upload_status(&repo(elsewhere), at.ticket.id).await;
        assert!(matches!(asked, Err(RegistryError::UploadUnknown)), "{asked:?}");
        let asked = registry.cancel_upload(&repo(elsewhere), at.ticket).await;
        assert!(matches!(asked, Err(RegistryError::UploadUnknown)), "{asked:?}");
    }
    assert_eq!(status(&registry, at).await.unwrap(), at);
}

async fn a_cancelled_session_leaves_nothing(base: Base) {
    let mut world = World::new(&base).await;
    let registry = world.registry();
    let mut at = start(&registry).await;
    for piece in [b"con", b"ten"] {
        at = append(&registry, "app", at, piece).await;
    }
    registry.cancel_upload(&repo("app"), at.ticket).await.unwrap();
    assert!(is_unknown_blob(&pull(&registry, "app", &sha256(b"conten")).await));
    world.wait(Limits::default().read_grace * 2).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_deleted, 2);
    assert!(world.part_files().is_empty());
}

async fn a_session_has_as_many_parts_as_it_may_and_can_still_finish(base: Base) {
    let limits = Limits { parts_per_upload_max: 3, ..Limits::default() };
    let world = World::limited(&base, limits).await;
    let registry = world.registry();
    let mut at = start(&registry).await;
    for piece in [b"a", b"b", b"c"] {
        at = append(&registry, "app", at, piece).await;
    }
    let one_more = registry.append_upload(&repo("app"), at.ticket, None, body(b"d")).await;
    assert!(matches!(one_more, Err(RegistryError::TooManyParts { limit: 3 })), "{one_more:?}");
    let one_more = finish(&registry, at, b"abcd", b"d").await;
    assert!(matches!(one_more, Err(RegistryError::TooManyParts { limit: 3 })), "{one_more:?}");
    assert_eq!(status(&registry, at).await.unwrap(), at);
    let digest = finish(&registry, at, b"abc", b"").await.unwrap();
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), b"abc");
}

async fn a_session_holds_the_largest_blob_and_not_one_byte_more(base: Base) {
    let limits = Limits { blob_bytes_max: 10, ..Limits::default() };
    let world = World::limited(&base, limits).await;
    let registry = world.registry();
    let at = append(&registry, "app", start(&registry).await, b"12345").await;
    let over = registry.append_upload(&repo("app"), at.ticket, None, body(b"678901")).await;
    assert!(matches!(over, Err(RegistryError::BlobTooLarge { limit: 10 })), "{over:?}");
    let at = append(&registry, "app", at, b"67890").await;
    let over = finish(&registry, at, b"12345678901", b"1").await;
    assert!(matches!(over, Err(RegistryError::BlobTooLarge { limit: 10 })), "{over:?}");
    finish(&registry, at, b"1234567890", b"").await.unwrap();
}

async fn as_many_sessions_are_open_as_may_be(base: Base) {
    let limits = Limits { uploads_max: 2, ..Limits::default() };
    let world = World::limited(&base, limits).await;
    let registry = world.registry();
    let first = start(&registry).await;
    start(&registry).await;
    let third = registry.start_upload(&repo("app"), None).await;
    assert!(matches!(third, Err(RegistryError::TooManyUploads { limit: 2 })), "{third:?}");
    registry.cancel_upload(&repo("app"), first.ticket).await.unwrap();
    start(&registry).await;
}

async fn of_two_steps_at_once_one_wins(base: Base) {
    let mut world = World::new(&base).await;
    let registry = world.registry();
    let (name, at) = (repo("app"), start(&registry).await);
    let (mut first, first_body) = feed();
    let (mut second, second_body) = feed();
    let (done, over) = tokio::sync::oneshot::channel();
    let winner = async {
        let won = registry.append_upload(&name, at.ticket, None, first_body).await.unwrap();
        done.send(()).unwrap();
        won
    };
    let loser = registry.append_upload(&name, at.ticket, None, second_body);
    let sent = async {
        // Both have read where the session stands before either is done.
        first.begun().await;
        second.begun().await;
        first.send(b"winner");
        second.send(b"loser");
        drop(first);
        over.await.unwrap();
        drop(second);
    };
    let (won, lost, ()) = tokio::join!(winner, loser, sent);
    assert_eq!(won.offset, 6);
    stands_at(lost, won);
    let digest = finish(&registry, won, b"winner", b"").await.unwrap();
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), b"winner");
    world.wait(Limits::default().read_grace * 2).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_deleted, 1, "the loser's part dies");
    assert_eq!(pull(&world.registry(), "app", &digest).await.unwrap(), b"winner");
}

async fn of_finish_and_cancel_one_wins(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let name = repo("app");

    // A cancel comes while the last piece is being sent.
    let at = append(&registry, "app", start(&registry).await, b"first and ").await;
    let digest = sha256(b"first and last");
    let (mut hand, last) = feed();
    let finish_late = registry.finish_upload(&name, at.ticket, &digest, None, last);
    let cancel = async {
        hand.begun().await;
        registry.cancel_upload(&name, at.ticket).await.unwrap();
        hand.send(b"last");
        drop(hand);
    };
    let (finished, ()) = tokio::join!(finish_late, cancel);
    assert!(matches!(finished, Err(RegistryError::UploadUnknown)), "{finished:?}");
    assert!(is_unknown_blob(&pull(&registry, "app", &digest).await));

    // Both at once, many times: either the blob is there or it is not, and one of them was told so.
    for round in 0..20 {
        let content = noise(round, 100);
        let at = append(&registry, "app", start(&registry).await, &content).await;
        let (finished, cancelled) = tokio::join!(
            finish(&registry, at, &content, b""),
            registry.cancel_upload(&name, at.ticket),
        );
        let there = pull(&registry, "app", &sha256(&content)).await;
        match (finished, cancelled) {
            (Ok(_), Err(RegistryError::UploadUnknown)) => assert_eq!(there.unwrap(), content),
            (Err(RegistryError::UploadUnknown), Ok(())) => assert!(is_unknown_blob(&there)),
            both => panic!("{both:?}"),
        }
    }
}

async fn of_a_step_and_a_cancel_one_wins(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let name = repo("app");
    for _ in 0..40 {
        let at = start(&registry).await;
        // An empty step is one commit, as a cancel is: which comes first is anybody's guess.
        let (step, cancelled) = tokio::join!(
            registry.append_upload(&name, at.ticket, None, body(b"")),
            registry.cancel_upload(&name, at.ticket),
        );
        match (step, cancelled) {
            (Ok(now), lost) => stands_at(lost.map(|()| now), now),
            (Err(RegistryError::UploadUnknown), Ok(())) => {
                let over = status(&registry, at).await;
                assert!(matches!(over, Err(RegistryError::UploadUnknown)), "{over:?}");
            }
            both => panic!("{both:?}"),
        }
    }
}

async fn a_client_that_goes_away_does_not_undo_what_it_sent(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (name, at) = (repo("app"), start(&registry).await);
    let (mut hand, sent) = feed();
    {
        let step = registry.append_upload(&name, at.ticket, None, sent);
        tokio::select! {
            ended = step => panic!("nothing was sent yet: {ended:?}"),
            () = hand.begun() => {}
        }
    }
    hand.send(b"content");
    drop(hand);
    world.house.drain().await;
    let at = status(&registry, at).await.unwrap();
    assert_eq!(at.offset, 7);
    finish(&registry, at, b"content", b"").await.unwrap();
}

async fn a_duplicate_links_and_its_parts_die(base: Base) {
    let mut world = World::new(&base).await;
    let registry = world.registry();
    let digest = crate::support::push(&registry, "other", b"content").await;
    let mut at = start(&registry).await;
    for piece in ["con", "tent"] {
        at = append(&registry, "app", at, piece.as_bytes()).await;
    }
    finish(&registry, at, b"content", b"").await.unwrap();
    world.wait(Limits::default().read_grace * 2).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_deleted, 2);
    assert_eq!(world.part_files().len(), 1);
    for name in ["app", "other"] {
        assert_eq!(pull(&world.registry(), name, &digest).await.unwrap(), b"content");
    }
}
