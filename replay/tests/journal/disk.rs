//! The real directory: appends past the page cache, and files that are filled with zeros.

use merit_replay::storage::disk::Disk;
use merit_replay::storage::faulty::Random;
use merit_replay::storage::{Storage, write_all_at};
use std::path::Path;
use std::process::Command;

const BLOCK_BYTES: usize = 4_096;

/// Of any length, in files that are whole blocks long and in others, with other writes and new handles between; from
/// memory in which blocks lie as on the disk, as the journal's writer has them, and from other memory.
#[test]
fn appends_past_the_page_cache_leave_what_writes_and_syncs_would() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::existing(directory.path());
    let mut random = Random::new(9);
    let (mut appends, mut past) = (0, 0);
    for bytes in [1 << 18, 1 << 18, (1 << 18) + 512, 3 << 20, 10_000, 4_096, 1_024] {
        let name = format!("file-{bytes}-{appends}");
        disk.prepare(&name, u64::try_from(bytes).unwrap()).wait().unwrap();
        let mut expected = vec![0; bytes];
        assert_eq!(disk.read(&name).unwrap(), expected);
        let mut file = disk.open(&name, false).unwrap();
        let mut at = 0;
        while at < bytes {
            let longest = [16, 600, 9_000, 40_000][random.below(4)];
            let mut memory = vec![0; 2 * BLOCK_BYTES + 1 + random.below(longest)];
            memory.fill_with(|| random.draw().to_le_bytes()[0]);
            let placed = memory.as_ptr().align_offset(BLOCK_BYTES) + at % BLOCK_BYTES;
            let memory = &memory[if random.below(2) == 0 { placed } else { 2 * BLOCK_BYTES }..];
            let piece = &memory[..memory.len().min(bytes - at)];
            let offset = u64::try_from(at).unwrap();
            if random.below(8) == 0 {
                file = disk.open(&name, false).unwrap();
            }
            let appended = if random.below(8) == 0 { None } else { file.append(offset, piece) };
            appends += 1;
            if let Some(appended) = appended {
                appended.unwrap();
                past += 1;
            } else {
                write_all_at(&mut *file, offset, piece).unwrap();
                file.sync().unwrap();
            }
            expected[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
            assert!(disk.read(&name).unwrap() == expected, "{name} after {at} bytes");
        }
    }
    println!("{past} of {appends} appends went past the page cache");
    assert!(past > appends / 2 || !takes_direct_writes(directory.path()), "{past} of {appends}");
}

/// Whether dd can do it on a file system that is taken, which is asked of stat.
fn takes_direct_writes(directory: &Path) -> bool {
    let told = |program: &mut Command| program.output().ok().filter(|it| it.status.success());
    let of = format!("of={}", directory.join("dd").display());
    let wrote =
        told(Command::new("dd").args(["if=/dev/zero", &of, "bs=4096", "count=1", "oflag=direct,dsync"]));
    let kind = told(Command::new("stat").args(["-f", "-c", "%T"]).arg(directory));
    let kind = kind.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
    wrote.is_some() && kind.is_some_and(|it| ["ext2/ext3", "xfs"].contains(&it.as_str()))
}
