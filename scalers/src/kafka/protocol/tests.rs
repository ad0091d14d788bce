use proptest::prelude::*;

use super::*;
use crate::kafka::endpoint::Endpoint;
use crate::kafka::partition::Partition;
use crate::kafka::plan::Asked;

fn partition(topic: &str, id: i32) -> Partition {
    Partition {
        topic: topic.into(),
        id,
    }
}

fn groups(count: usize, partitions: i32) -> Vec<(String, Asked)> {
    let partitions: Vec<_> = (0..partitions).map(|id| partition("orders", id)).collect();
    let asked = Asked::Partitions(partitions.into_iter().collect());
    (0..count)
        .map(|i| (format!("group-{i}"), asked.clone()))
        .collect()
}

#[test]
fn frame_has_its_length_kind_version_number_and_our_name() {
    let frame = Request::api_versions().frame(7);
    let expected = [
        &[0, 0, 0, 15][..],
        &[0, 18, 0, 0, 0, 0, 0, 7, 0, 5],
        b"zeron",
    ];
    assert_eq!(frame, expected.concat());
}

#[test]
fn offset_fetch_of_version_8_is_as_the_protocol_says() {
    let groups = groups(1, 2);
    let request = offset_fetch::request(8, &groups);
    let expected = [
        &[2][..], // one group
        &[8],
        b"group-0",
        &[2, 7], // one topic
        b"orders",
        &[3, 0, 0, 0, 0, 0, 0, 0, 1, 0], // two partitions, no tags
        &[0],                            // no tags of the group
        &[0, 0],                         // not only stable offsets, no tags
    ];
    assert_eq!(request.body, expected.concat());
    // Compact header: name without its length being compact, then no tags.
    let frame = request.frame(1);
    assert_eq!(&frame[4..20], b"\0\x09\0\x08\0\0\0\x01\0\x05zeron\0");
}

#[test]
fn answer_of_version_8_is_read_group_by_group() {
    let body = [
        &[0, 0, 0, 0][..],         // not throttled
        &[3],                      // two groups
        &[2, b'a', 2, 2, b't', 2], // a: topic t, one partition
        &[0, 0, 0, 3],
        &[0, 0, 0, 0, 0, 0, 0, 9],
        &[0xff; 4],              // epoch
        &[1, 0, 0, 0],           // no metadata, no error, no tags
        &[0],                    // no tags of the topic
        &[0, 0, 0],              // no error of the group, no tags
        &[2, b'b', 1, 0, 30, 0], // b: nothing, error 30
        &[0],
    ];
    let body = body.concat();
    let read = offset_fetch::read(8, &mut Reader::new(&body, true)).unwrap();
    assert_eq!(read[0].group, Some("a"));
    assert_eq!(read[0].code, Code::NONE);
    let committed = &read[0].offsets[0];
    assert_eq!(
        (committed.topic, committed.partition, committed.offset),
        ("t", 3, 9)
    );
    assert_eq!(read[1].group, Some("b"));
    assert_eq!(read[1].code, Code::GROUP_AUTHORIZATION_FAILED);
    for length in 0..body.len() {
        let cut = offset_fetch::read(8, &mut Reader::new(&body[..length], true));
        assert_eq!(cut, Err(Garbled), "cut at {length}");
    }
}

#[test]
fn a_thousand_groups_of_ten_partitions_are_one_request() {
    assert_eq!(offset_fetch::chunks(9, &groups(1_000, 10)).len(), 1);
    assert_eq!(offset_fetch::chunks(9, &groups(1_001, 10)).len(), 2);
    assert_eq!(offset_fetch::chunks(9, &groups(3, 20_000)).len(), 3);
    assert_eq!(offset_fetch::chunks(7, &groups(5, 1)).len(), 5);
    assert!(offset_fetch::chunks(9, &[]).is_empty());
}

#[test]
fn answer_to_another_number_is_refused() {
    let request = Request::api_versions();
    assert!(request.answer(7, vec![0, 0, 0, 7, 0]).is_ok());
    assert!(request.answer(7, vec![0, 0, 0, 8, 0]).is_err());
    assert!(request.answer(7, vec![0, 0]).is_err());
}

#[test]
fn newest_version_of_both_sides_is_spoken() {
    let answer = |min: i16, max: i16| {
        let mut writer = Writer::new(false);
        writer.i16(0);
        writer.count(1);
        for number in [Api::OffsetFetch.key(), min, max] {
            writer.i16(number);
        }
        let bytes = writer.into_bytes();
        Versions::read(&mut Reader::new(&bytes, false)).unwrap()
    };
    assert_eq!(answer(1, 8).newest(Api::OffsetFetch), Some(8));
    assert_eq!(answer(1, 100).newest(Api::OffsetFetch), Some(9));
    assert_eq!(answer(10, 100).newest(Api::OffsetFetch), None);
    assert_eq!(answer(0, 0).newest(Api::OffsetFetch), None);
    assert_eq!(answer(1, 8).newest(Api::Metadata), None);
}

#[test]
fn list_longer_than_its_bytes_is_refused_before_memory_is_taken() {
    // 4 G elements in five bytes.
    let compact = [0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 1];
    let mut reader = Reader::new(&compact, true);
    assert_eq!(reader.list(Reader::i16), Err(Garbled));
    let plain = [0x7f, 0xff, 0xff, 0xff, 1, 1, 1];
    let mut reader = Reader::new(&plain, false);
    assert_eq!(reader.list(Reader::i16), Err(Garbled));
}

#[test]
fn impossible_addresses_of_brokers_are_left_out() {
    let mut writer = Writer::new(false);
    writer.count(2);
    for (id, port) in [(1, 9092), (2, -1)] {
        writer.i32(id);
        writer.text("kafka");
        writer.i32(port);
        writer.null_text();
    }
    writer.i32(1); // controller
    writer.count(0); // topics
    let bytes = writer.into_bytes();
    let read = metadata::read(1, &mut Reader::new(&bytes, false)).unwrap();
    let kafka = Endpoint::new("kafka", 9092).unwrap();
    assert_eq!(read.brokers, [(1, kafka)]);
}

proptest! {
    #[test]
    fn whatever_a_broker_says_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let reader = |api: Api, version| Reader::new(&bytes, api.is_flexible(version));
        for version in 0..=9 {
            drop(metadata::read(version, &mut reader(Api::Metadata, version)));
            drop(list_offsets::read(version, &mut reader(Api::ListOffsets, version)));
            drop(offset_fetch::read(version, &mut reader(Api::OffsetFetch, version)));
            drop(find_coordinator::read(version, &mut reader(Api::FindCoordinator, version)));
            drop(sasl::read_authenticated(version, &mut reader(Api::SaslAuthenticate, version)));
        }
        drop(sasl::read_handshake(&mut reader(Api::SaslHandshake, 1)));
        drop(Versions::read(&mut reader(Api::Versions, 0)));
        drop(Request::api_versions().answer(0, bytes));
    }
}
