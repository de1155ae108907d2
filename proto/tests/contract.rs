//! Holds the compiled contract against the committed one, and both against the house style.
//!
//! `merit/v1/descriptor.bin` is what members were promised. Adding to the contract is allowed and has to be
//! committed: `MERIT_CONTRACT_COMMIT=1 cargo test -p merit-proto` rewrites it. Whatever would break a member's
//! program is refused, with the name of what broke, and is not rewritten.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use merit_proto::reflection;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use prost_types::{FileDescriptorSet, source_code_info::Location};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// One promise: what it is under this name, and the number that it holds in its owner, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Promise {
    shape: String,
    owner_and_number: Option<(String, i32)>,
}

type Promises = BTreeMap<String, Promise>;

fn promises(set: &FileDescriptorSet) -> Promises {
    let mut out = Promises::new();
    for file in set.file.iter().filter(|file| file.package() == "merit.v1") {
        for message in &file.message_type {
            message_promises(&format!("{}.{}", file.package(), message.name()), message, &mut out);
        }
        for kind in &file.enum_type {
            enum_promises(&format!("{}.{}", file.package(), kind.name()), kind, &mut out);
        }
        for service in &file.service {
            for method in &service.method {
                let stream = |on: bool| if on { "stream " } else { "" };
                let shape = format!(
                    "rpc ({}{}) returns ({}{})",
                    stream(method.client_streaming()),
                    method.input_type(),
                    stream(method.server_streaming()),
                    method.output_type()
                );
                let name = format!("{}.{}/{}", file.package(), service.name(), method.name());
                out.insert(name, Promise { shape, owner_and_number: None });
            }
        }
    }
    out
}

fn message_promises(name: &str, message: &DescriptorProto, out: &mut Promises) {
    out.insert(name.to_string(), Promise { shape: "message".to_string(), owner_and_number: None });
    for field in &message.field {
        let shape = format!("field {} {}", field.number(), field_type(message, field));
        let owner_and_number = Some((name.to_string(), field.number()));
        out.insert(format!("{name}.{}", field.name()), Promise { shape, owner_and_number });
    }
    for inner in &message.nested_type {
        message_promises(&format!("{name}.{}", inner.name()), inner, out);
    }
    for kind in &message.enum_type {
        enum_promises(&format!("{name}.{}", kind.name()), kind, out);
    }
}

fn enum_promises(name: &str, kind: &EnumDescriptorProto, out: &mut Promises) {
    out.insert(name.to_string(), Promise { shape: "enum".to_string(), owner_and_number: None });
    for value in &kind.value {
        let shape = format!("value {}", value.number());
        let owner_and_number = Some((name.to_string(), value.number()));
        out.insert(format!("{name}.{}", value.name()), Promise { shape, owner_and_number });
    }
}

fn field_type(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let kind = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_string(),
        other => format!("{other:?}").to_lowercase(),
    };
    if field.label() == Label::Repeated {
        return format!("repeated {kind}");
    }
    if field.proto3_optional() {
        return format!("optional {kind}");
    }
    match field.oneof_index {
        Some(index) => {
            format!("{kind} in oneof {}", message.oneof_decl[usize::try_from(index).unwrap()].name())
        }
        None => kind,
    }
}

/// Everything that a program built on `old` would trip over in `new`.
fn breaks(old: &Promises, new: &Promises) -> Vec<String> {
    let mut holders: BTreeMap<&(String, i32), &str> = BTreeMap::new();
    for (name, promise) in new {
        if let Some(number) = &promise.owner_and_number {
            holders.insert(number, name);
        }
    }
    let mut found = Vec::new();
    for (name, promise) in old {
        match new.get(name) {
            None => found.push(format!("{name} is gone; it was {}", promise.shape)),
            Some(now) if now.shape != promise.shape => {
                found.push(format!("{name} was {} and is now {}", promise.shape, now.shape));
            }
            Some(_) => {}
        }
        if let Some(place @ (owner, number)) = &promise.owner_and_number
            && let Some(holder) = holders.get(place)
            && holder != name
        {
            found.push(format!("number {number} of {owner} belonged to {name} and is now {holder}"));
        }
    }
    found
}

fn rendered(promises: &Promises) -> String {
    promises.iter().map(|(name, promise)| format!("{name}: {}\n", promise.shape)).collect()
}

fn committed_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("merit/v1").join(name)
}

fn without_comments(mut set: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut set.file {
        file.source_code_info = None;
    }
    set
}

#[test]
fn nothing_that_was_promised_is_gone_or_changed() {
    let compiled = without_comments(reflection::descriptors());
    let new = promises(&compiled);
    let commit = std::env::var_os("MERIT_CONTRACT_COMMIT").is_some();
    let bytes = match std::fs::read(committed_path("descriptor.bin")) {
        Ok(bytes) => bytes,
        Err(error) if commit && error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("merit/v1/descriptor.bin: {error}"),
    };
    let old = promises(&FileDescriptorSet::decode(bytes.as_slice()).unwrap());
    let found = breaks(&old, &new);
    assert!(found.is_empty(), "the contract is broken:\n  {}", found.join("\n  "));
    if commit {
        std::fs::write(committed_path("descriptor.bin"), compiled.encode_to_vec()).unwrap();
        std::fs::write(committed_path("descriptor.txt"), rendered(&new)).unwrap();
        return;
    }
    let added: Vec<&String> = new.keys().filter(|name| !old.contains_key(*name)).collect();
    assert!(added.is_empty(), "added to the contract but not committed (MERIT_CONTRACT_COMMIT=1): {added:?}");
    let text = std::fs::read_to_string(committed_path("descriptor.txt")).unwrap();
    assert!(text == rendered(&old), "descriptor.txt does not render descriptor.bin");
}

/// A copy of the contract in which one field, enum value or method has been tampered with.
fn tampered(change: impl Fn(&mut FileDescriptorProto)) -> Vec<String> {
    let mut set = reflection::descriptors();
    set.file.iter_mut().filter(|file| file.package() == "merit.v1").for_each(change);
    breaks(&promises(&reflection::descriptors()), &promises(&set))
}

fn point(file: &mut FileDescriptorProto) -> Option<&mut DescriptorProto> {
    file.message_type.iter_mut().find(|message| message.name() == "Point")
}

#[test]
fn every_kind_of_break_is_named() {
    let renumbered = tampered(|file| {
        if let Some(point) = point(file) {
            point.field[1].number = Some(3);
        }
    });
    assert_eq!(
        renumbered,
        ["merit.v1.Point.quantity_watts was field 2 sint64 and is now field 3 sint64".to_string()]
    );
    let retyped = tampered(|file| {
        if let Some(point) = point(file) {
            point.field[1].r#type = Some(Type::Int64.into());
        }
    });
    assert_eq!(
        retyped,
        ["merit.v1.Point.quantity_watts was field 2 sint64 and is now field 2 int64".to_string()]
    );
    let reused = tampered(|file| {
        if let Some(point) = point(file) {
            point.field[1].name = Some("quantity_kilowatts".to_string());
        }
    });
    assert_eq!(
        reused,
        [
            "merit.v1.Point.quantity_watts is gone; it was field 2 sint64".to_string(),
            "number 2 of merit.v1.Point belonged to merit.v1.Point.quantity_watts and is now \
             merit.v1.Point.quantity_kilowatts"
                .to_string()
        ]
    );
    let made_plain = tampered(|file| {
        for message in file.message_type.iter_mut().filter(|message| message.name() == "Position") {
            message.field[1].proto3_optional = None;
            message.field[1].oneof_index = None;
        }
    });
    assert_eq!(
        made_plain,
        ["merit.v1.Position.seq was field 2 optional uint64 and is now field 2 uint64".to_string()]
    );
    let value = tampered(|file| {
        for kind in file.enum_type.iter_mut().filter(|kind| kind.name() == "Side") {
            kind.value[2].number = Some(7);
        }
    });
    assert_eq!(value, ["merit.v1.Side.SIDE_SELL was value 2 and is now value 7".to_string()]);
    let method = tampered(|file| {
        for service in &mut file.service {
            service.method.retain(|method| method.name() != "WhoAmI");
        }
    });
    assert_eq!(
        method,
        ["merit.v1.MemberService/WhoAmI is gone; it was rpc (.merit.v1.WhoAmIRequest) returns \
          (.merit.v1.WhoAmIResponse)"
            .to_string()]
    );
}

#[test]
fn adding_breaks_nothing() {
    let added = tampered(|file| {
        if let Some(point) = point(file) {
            let mut field = point.field[1].clone();
            field.name = Some("one_more".to_string());
            field.number = Some(9);
            point.field.push(field);
        }
    });
    assert_eq!(added, Vec::<String>::new());
}

#[test]
fn every_enum_begins_with_unspecified_and_prefixes_its_values() {
    for file in reflection::descriptors().file.iter().filter(|file| file.package() == "merit.v1") {
        for kind in &file.enum_type {
            let mut prefix = String::new();
            for (index, letter) in kind.name().char_indices() {
                if letter.is_uppercase() && index > 0 {
                    prefix.push('_');
                }
                prefix.push(letter.to_ascii_uppercase());
            }
            assert_eq!(kind.value[0].number(), 0, "{}", kind.name());
            assert_eq!(kind.value[0].name(), format!("{prefix}_UNSPECIFIED"));
            for value in &kind.value {
                assert!(value.name().starts_with(&format!("{prefix}_")), "{}", value.name());
            }
        }
    }
}

#[test]
fn every_method_has_its_own_request_and_response() {
    let mut seen = BTreeSet::new();
    for file in &reflection::descriptors().file {
        for service in &file.service {
            assert!(service.name().ends_with("Service"), "{}", service.name());
            for method in &service.method {
                let request = method.input_type().trim_start_matches(".merit.v1.").to_string();
                let response = method.output_type().trim_start_matches(".merit.v1.").to_string();
                assert_eq!(request, format!("{}Request", method.name()));
                assert_eq!(response, format!("{}Response", method.name()));
                assert!(seen.insert(request), "{} shares its request", method.name());
                assert!(seen.insert(response), "{} shares its response", method.name());
            }
        }
    }
}

#[test]
fn no_field_is_a_binary_float() {
    for file in &reflection::descriptors().file {
        for message in &file.message_type {
            for field in &message.field {
                let float = matches!(field.r#type(), Type::Float | Type::Double);
                assert!(!float, "{}.{}", message.name(), field.name());
            }
        }
    }
}

fn has_comment(locations: &[Location], path: &[i32]) -> bool {
    locations.iter().any(|location| location.path == path && !location.leading_comments().trim().is_empty())
}

#[test]
fn everything_public_has_a_comment() {
    let index = |at: usize| i32::try_from(at).unwrap();
    let mut bare = Vec::new();
    for file in reflection::descriptors().file.iter().filter(|file| file.package() == "merit.v1") {
        let locations = &file.source_code_info.as_ref().unwrap().location;
        let mut check = |path: &[i32], name: String| {
            if !has_comment(locations, path) {
                bare.push(name);
            }
        };
        for (m, message) in file.message_type.iter().enumerate() {
            check(&[4, index(m)], message.name().to_string());
            for (f, field) in message.field.iter().enumerate() {
                check(&[4, index(m), 2, index(f)], format!("{}.{}", message.name(), field.name()));
            }
            assert!(message.nested_type.is_empty(), "{}: messages are not nested", message.name());
        }
        for (e, kind) in file.enum_type.iter().enumerate() {
            check(&[5, index(e)], kind.name().to_string());
            for (v, value) in kind.value.iter().enumerate() {
                check(&[5, index(e), 2, index(v)], value.name().to_string());
            }
        }
        for (s, service) in file.service.iter().enumerate() {
            check(&[6, index(s)], service.name().to_string());
            for (r, method) in service.method.iter().enumerate() {
                check(&[6, index(s), 2, index(r)], format!("{}/{}", service.name(), method.name()));
            }
        }
    }
    assert!(bare.is_empty(), "without a comment: {bare:?}");
}

#[test]
fn reflection_shows_the_methods_given_and_no_others() {
    let shown = ["merit.v1.MemberService/WhoAmI", "merit.v1.OperatorService/GetStatus"];
    let set = reflection::implemented(&shown).unwrap();
    let mut left = Vec::new();
    for file in &set.file {
        for (s, service) in file.service.iter().enumerate() {
            for (r, method) in service.method.iter().enumerate() {
                left.push(format!("{}.{}/{}", file.package(), service.name(), method.name()));
                // Its comment has moved with it.
                let path = [6, i32::try_from(s).unwrap(), 2, i32::try_from(r).unwrap()];
                let locations = &file.source_code_info.as_ref().unwrap().location;
                let comment = locations.iter().find(|location| location.path == path).unwrap();
                let expected = if method.name() == "WhoAmI" { "Who the exchange" } else { "The node" };
                assert!(comment.leading_comments().trim().starts_with(expected));
            }
        }
    }
    left.sort();
    assert_eq!(left, shown);
    assert_eq!(
        reflection::implemented(&["merit.v1.MemberService/Nothing"]),
        Err("merit.v1.MemberService/Nothing".to_string())
    );
    assert_eq!(
        reflection::methods().len(),
        promises(&reflection::descriptors()).keys().filter(|name| name.contains('/')).count()
    );
}
