//! What reflection may show: the methods that this release answers, and no others.
//!
//! The contract is whole from the start, but a method that answers UNIMPLEMENTED would mislead whoever
//! explores the exchange with grpcurl, so it stays out of reflection until it is there.

use prost::Message as _;
use prost_types::source_code_info::Location;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use std::collections::BTreeSet;

// Field numbers of descriptor.proto, of which the paths in source info consist.
const FILE_SERVICE: i32 = 6;
const SERVICE_METHOD: i32 = 2;

/// The compiled contract.
#[must_use]
pub fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(crate::FILE_DESCRIPTOR_SET).expect("the build has written it")
}

/// Full names of all methods of the contract, `merit.v1.MemberService/SubmitOrder`, sorted.
#[must_use]
pub fn methods() -> Vec<String> {
    let mut names = Vec::new();
    for file in &descriptors().file {
        for service in &file.service {
            for method in &service.method {
                names.push(format!("{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    names.sort();
    names
}

/// The contract with only the given methods (full names as in [`methods`]); services without any are left
/// out, comments stay.
///
/// # Errors
///
/// The first of the names that the contract does not know.
pub fn implemented(methods_shown: &[&str]) -> Result<FileDescriptorSet, String> {
    let known = methods();
    for name in methods_shown {
        if known.binary_search_by(|have| have.as_str().cmp(name)).is_err() {
            return Err((*name).to_string());
        }
    }
    let shown: BTreeSet<&str> = methods_shown.iter().copied().collect();
    let mut set = descriptors();
    for file in &mut set.file {
        keep(file, &shown);
    }
    Ok(set)
}

/// The same, encoded as reflection servers take it.
///
/// # Errors
///
/// As [`implemented`].
pub fn implemented_encoded(methods_shown: &[&str]) -> Result<Vec<u8>, String> {
    Ok(implemented(methods_shown)?.encode_to_vec())
}

fn keep(file: &mut FileDescriptorProto, shown: &BTreeSet<&str>) {
    let package = file.package().to_string();
    // New index of every service and, in it, of every method; none if it goes.
    let mut places: Vec<(Option<i32>, Vec<Option<i32>>)> = Vec::new();
    let mut services_kept = 0;
    for service in &mut file.service {
        let mut methods_kept = 0;
        let mut places_in = Vec::new();
        let prefix = format!("{package}.{}", service.name());
        service.method.retain(|method| {
            let stays = shown.contains(format!("{prefix}/{}", method.name()).as_str());
            places_in.push(stays.then_some(methods_kept));
            methods_kept += i32::from(stays);
            stays
        });
        let stays = methods_kept > 0;
        places.push((stays.then_some(services_kept), places_in));
        services_kept += i32::from(stays);
    }
    file.service.retain(|service| !service.method.is_empty());
    if let Some(info) = &mut file.source_code_info {
        info.location.retain_mut(|location| moved(location, &places).is_some());
    }
}

/// Moves a location of source info to the new indices; nothing if what it describes is gone.
fn moved(location: &mut Location, places: &[(Option<i32>, Vec<Option<i32>>)]) -> Option<()> {
    let path = &mut location.path;
    if path.first() != Some(&FILE_SERVICE) || path.len() < 2 {
        return Some(());
    }
    let (service, methods) = places.get(usize::try_from(path[1]).ok()?)?;
    path[1] = (*service)?;
    if path.len() >= 4 && path[2] == SERVICE_METHOD {
        path[3] = (*methods.get(usize::try_from(path[3]).ok()?)?)?;
    }
    Some(())
}
