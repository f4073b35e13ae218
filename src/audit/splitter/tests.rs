use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// What comes out, whatever the chunks: records as text, and how many others.
fn split(stream: &[u8], chunk: usize) -> (Vec<String>, usize, bool) {
    let mut splitter = Splitter::default();
    let (mut records, mut others) = (Vec::new(), 0);
    let mut sink = |piece: Piece<'_>| match piece {
        Piece::Record(bytes) => records.push(String::from_utf8(bytes.to_vec()).unwrap()),
        _ => others += 1,
    };
    for part in stream.chunks(chunk.max(1)) {
        splitter.feed(part, &mut sink);
    }
    splitter.finish(&mut sink);
    (records, others, splitter.is_whole())
}

#[test]
fn every_shape_gives_its_records_at_every_chunk_size() {
    let two = ["{\"a\":\"}\\\"{\"}".to_owned(), "{\"b\":[{}]}".to_owned()];
    let [one, other] = &two;
    for stream in [
        format!("{{\"Records\":[{one},{other}]}}"),
        format!("{{\"Records\" : [ {one} ,\n {other} ] , \"more\":{{\"x\":[1]}}}}\n"),
        format!("{{\"NextToken\":\"Records\",\"Events\":[{one}],\"x\":1,\"Events\":[{other}]}}"),
        format!("{{\"Records\":[]}}{{\"Events\":[{one},{other}]}}"),
        format!("[{one},{other}]"),
        format!("{one}\n{other}\n"),
    ] {
        for chunk in 1..=stream.len() {
            let (records, others, whole) = split(stream.as_bytes(), chunk);
            assert_eq!(
                (records.as_slice(), others, whole),
                (&two[..], 0, true),
                "{stream} {chunk}"
            );
        }
    }
}

#[test]
fn a_key_that_only_looks_like_the_wrappers_is_part_of_the_record() {
    for stream in [
        r#"{"x\"Records":[{"a":1}]}"#,
        r#"{"a":"Records","b":[{"c":1}]}"#,
        r#"{"a":{"Records":[{"c":1}]}}"#,
        r#"{"Records":{"c":[1]}}"#,
        r#"{"MyRecords":[{"c":1}]}"#,
    ] {
        for chunk in 1..=stream.len() {
            assert_eq!(split(stream.as_bytes(), chunk).0, [stream], "{chunk}");
        }
    }
}

#[test]
fn what_is_no_record_is_told_and_costs_none_of_its_neighbours() {
    let stream = r#"{"Records":[1,{"a":1},"]}{",null,[{"x":2},"["],{"b":"2"},-3e5]}"#;
    for chunk in 1..=stream.len() {
        let (records, others, whole) = split(stream.as_bytes(), chunk);
        assert_eq!(records, [r#"{"a":1}"#, r#"{"b":"2"}"#]);
        assert_eq!((others, whole), (5, true), "{chunk}");
    }
    let (records, others, whole) = split(b"at 10:00 {\"a\":1}\nnonsense\n{\"b\":2}\n", 7);
    assert_eq!((records.len(), others, whole), (2, 2, true));
}

#[test]
fn an_early_end_is_noticed_wherever_it_is() {
    let stream = r#"{"Records":[{"a":"x\"y"},{"b":{}}],"c":1}"#;
    for end in 1..stream.len() {
        assert!(!split(&stream.as_bytes()[..end], 5).2, "{}", &stream[..end]);
    }
}

#[test]
fn a_record_without_end_takes_no_memory_and_the_next_one_is_read() {
    let mut splitter = Splitter::default();
    let mut seen = Vec::new();
    let mut sink = |piece: Piece<'_>| {
        seen.push(match piece {
            Piece::Record(bytes) => format!("record {}", bytes.len()),
            Piece::TooLong(bytes) => format!("too long {}", bytes.len()),
            Piece::Stray(_) => "stray".to_owned(),
        });
    };
    splitter.feed(b"{\"Records\":[{\"a\":\"", &mut sink);
    for _ in 0..200 {
        splitter.feed(&vec![b'x'; 1 << 16], &mut sink);
        assert!(splitter.held.capacity() <= 2 * LONGEST);
    }
    splitter.feed(b"\"},{\"b\":1}]}", &mut sink);
    assert!(splitter.held.capacity() <= 1 << 18 && splitter.is_whole());
    assert_eq!(seen, ["too long 256", "record 7"]);
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let text = "([a-z]|[{}\\[\\]\",:\\\\\n]|Records|Events|ecr.amazonaws.com|\\PC){0,12}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((text, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_records_are_those_that_a_whole_parse_finds(
        elements in prop::collection::vec(arbitrary_json(), 0..8),
        chunk in 1_usize..200,
        pretty: bool,
        key in prop_oneof![Just("Records"), Just("Events")],
    ) {
        let whole = json!({ "before": {"Records": 1}, key: elements, "after": [{}] });
        let stream = if pretty { format!("{whole:#}") } else { whole.to_string() };
        let (records, others, complete) = split(stream.as_bytes(), chunk);
        let found: Vec<Value> =
            records.iter().map(|record| serde_json::from_str(record).unwrap()).collect();
        let objects: Vec<Value> = elements.iter().filter(|e| e.is_object()).cloned().collect();
        prop_assert!(complete);
        prop_assert_eq!(others, elements.len() - objects.len());
        prop_assert_eq!(found, objects);
    }

    #[test]
    fn no_bytes_at_all_make_it_fail_and_chunks_change_nothing(
        stream in prop::collection::vec(prop_oneof![
            any::<u8>(), Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'"'), Just(b'\\'),
        ], 0..300),
        chunk in 1_usize..64,
    ) {
        let run = |chunk: usize| {
            let mut splitter = Splitter::default();
            let mut pieces = Vec::new();
            let mut sink = |piece: Piece<'_>| pieces.push(format!("{piece:?}"));
            for part in stream.chunks(chunk) {
                splitter.feed(part, &mut sink);
            }
            splitter.finish(&mut sink);
            (pieces, splitter.is_whole())
        };
        prop_assert_eq!(run(chunk), run(stream.len().max(1)));
    }
}
