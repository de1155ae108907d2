//! The built binary on files: what it writes, what it refuses, and how it exits.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

use merit_gateway::files::decimal::parse;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn merit(arguments: &[&str]) -> Output {
    merit_fed(arguments, "")
}

/// Runs the binary with `input` on its standard input.
fn merit_fed(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_merit"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The folder of real order books, if this machine has it.
fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("MERIT_SHARED").map_or(beside, PathBuf::from);
    if folder.join("data").is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no {}: set MERIT_SHARED to the folder with the real order books", folder.display());
    None
}

/// A result without the line that takes no part in comparisons.
fn comparable(result: &str) -> String {
    result.lines().filter(|it| !it.starts_with("\"stats\"")).map(|it| format!("{it}\n")).collect()
}

/// Clears a file and returns the result's text.
fn clear(auction: &Path) -> String {
    let output = merit(&["clear", text(auction), "-o", "json"]);
    assert_eq!(code(&output), 0, "{}: {}", auction.display(), err(&output));
    out(&output)
}

#[test]
fn the_written_day_clears_to_the_committed_bytes() {
    // Run in debug and in release, this holds the two together, and every machine with them.
    let golden = fs::read_to_string(fixture("day.result.json")).unwrap();
    assert_eq!(comparable(&clear(&fixture("day.auction.json"))), comparable(&golden));
}

#[test]
fn a_result_is_the_same_on_paper_on_screen_and_from_standard_input() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("result.json");
    let auction = fixture("day.auction.json");
    let output = merit(&["clear", text(&auction), "--out", text(&path), "--quiet"]);
    assert_eq!((code(&output), out(&output).as_str(), err(&output).as_str()), (0, "", ""));
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(comparable(&clear(&auction)), comparable(&written));
    let fed = merit_fed(&["clear", "-", "-o", "json"], &fs::read_to_string(&auction).unwrap());
    assert_eq!(comparable(&out(&fed)), comparable(&written));
    let result: Value = serde_json::from_str(&written).unwrap();
    let stats = result["stats"].as_object().unwrap();
    assert_eq!(stats.keys().collect::<Vec<_>>(), ["clearing_seconds", "nodes", "verifying_seconds", "work"]);
}

#[test]
fn the_search_ends_at_a_work_limit_or_a_gap_and_says_what_is_open() {
    let auction = fixture("search.auction.json");
    let result = |options: &[&str]| -> Value {
        let output = merit(&[&["clear", text(&auction), "-o", "json"][..], options].concat());
        assert_eq!(code(&output), 0, "{}", err(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let whole = result(&[]);
    assert_eq!((&whole["status"], &whole["bound"]), (&Value::from("optimal"), &whole["welfare"]));
    assert!(whole["stats"]["nodes"].as_u64().unwrap() > 0);
    let (least, most) = (number(&whole["welfare"]), number(&result(&["--work-limit", "1"])["bound"]));
    assert!(most > least, "a unit of work proves nothing here: {most} and {least}");
    let gap = (most - least).to_string();
    for options in [["--work-limit", "1"], ["--gap", gap.as_str()], ["--gap", "1e9"]] {
        let short = result(&options);
        let (welfare, bound) = (number(&short["welfare"]), number(&short["bound"]));
        assert!(welfare <= least && least <= bound, "{options:?}");
        assert_eq!(short["status"] == "optimal", welfare == bound, "{options:?}");
        assert!(short["stats"]["work"].as_u64() <= whole["stats"]["work"].as_u64(), "{options:?}");
        assert!(options[0] != "--gap" || bound - welfare <= parse(options[1]).unwrap(), "{options:?}");
    }
    let table = out(&merit(&["clear", text(&auction), "--work-limit", "1"]));
    assert!(table.contains("(limit: at most ") && table.contains(" more was possible)"), "{table}");
    for wrong in ["-1", "much", "1e-40"] {
        let refused = merit(&["clear", text(&auction), &format!("--gap={wrong}")]);
        assert_eq!(code(&refused), 2, "{wrong}: {}", err(&refused));
        assert!(err(&refused).contains("--gap"), "{wrong}: {}", err(&refused));
    }
}

/// A stream of numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}

/// Shuffles every list of an auction whose order means nothing.
fn permuted(auction: &Path, seed: u64) -> String {
    let mut dice = Dice(seed);
    let mut auction: Value = serde_json::from_slice(&unpacked(auction)).unwrap();
    for key in ["areas", "lines", "curves", "blocks", "complex"] {
        if let Some(list) = auction.get_mut(key).and_then(Value::as_array_mut) {
            dice.shuffle(list);
        }
    }
    for curve in auction["curves"].as_array_mut().unwrap() {
        if curve["shape"] != "linear" {
            dice.shuffle(curve["points"].as_array_mut().unwrap());
        }
    }
    for complex in auction.get_mut("complex").and_then(Value::as_array_mut).into_iter().flatten() {
        dice.shuffle(complex["curve"].as_array_mut().unwrap());
    }
    auction.to_string()
}

fn unpacked(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    if path.extension().is_some_and(|it| it == "gz") {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes.as_slice()), &mut text).unwrap();
        return text;
    }
    bytes
}

fn check_permutations(auction: &Path, seeds: u64) {
    let expected = comparable(&clear(auction));
    for seed in 0..seeds {
        let fed = merit_fed(&["clear", "-", "-o", "json"], &permuted(auction, seed));
        assert_eq!(code(&fed), 0, "{}", err(&fed));
        assert!(
            comparable(&out(&fed)) == expected,
            "{} differs when permuted by seed {seed}",
            auction.display()
        );
    }
}

#[test]
fn permuting_the_orders_of_a_file_changes_no_byte() {
    check_permutations(&fixture("day.auction.json"), 40);
    check_permutations(&fixture("blocks.auction.json"), 20);
}

#[test]
fn permuting_the_orders_of_real_days_changes_no_byte() {
    let Some(shared) = shared() else { return };
    for name in ["italy/it-2025-04-01-exchanges", "mibel/mibel-2025-06-21"] {
        check_permutations(&shared.join("data").join(format!("{name}.auction.json.gz")), 1);
    }
}

#[test]
fn blocks_and_complex_orders_are_rejected_with_a_reason_each() {
    let result: Value = serde_json::from_str(&clear(&fixture("blocks.auction.json"))).unwrap();
    let rejected = result["rejected"].as_array().unwrap();
    let accepted = [&result["blocks"], &result["complex"]].map(|it| it.as_array().unwrap().len());
    assert_eq!(rejected.len() + accepted[0] + accepted[1], 5);
}

#[test]
fn tables_name_prices_volumes_flows_and_congested_lines() {
    let output = out(&merit(&["clear", text(&fixture("day.auction.json"))]));
    let lines: Vec<&str> = output.lines().collect();
    assert!(lines[0].starts_with("period  North  South  Éast  bought MW  congested"), "{output}");
    assert!(lines[1].contains("North→South"), "{output}");
    assert!(
        output.contains("a written day: 216.125 MWh bought, welfare 12859.65875 INR (optimal)"),
        "{output}"
    );
    let csv = out(&merit(&["clear", text(&fixture("day.auction.json")), "-o", "csv"]));
    assert!(csv.starts_with("kind,id,period,price,bought,sold,flow,congested\narea,North,1,31,"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 3 * (3 + 4));
}

#[test]
fn several_auctions_are_cleared_in_one_run_and_one_bad_file_hides_no_other() {
    let folder = TempDir::new().unwrap();
    let results = folder.path().join("results");
    for (name, from) in [("a.json", "day.auction.json"), ("b.auction.json", "blocks.auction.json")] {
        fs::copy(fixture(from), folder.path().join(name)).unwrap();
    }
    let good = merit(&["clear", text(folder.path()), "--out", text(&results), "-o", "json"]);
    assert_eq!(code(&good), 0, "{}", err(&good));
    let rows: Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!(rows[0]["welfare"].to_string(), "12859.65875");
    assert!(results.join("a.result.json").is_file() && results.join("b.result.json").is_file());
    fs::write(folder.path().join("a0.json"), "{").unwrap();
    let mixed = merit(&["clear", text(folder.path()), "-o", "csv"]);
    assert_eq!(code(&mixed), 2);
    assert_eq!(out(&mixed).lines().count(), 3, "{}", out(&mixed));
    assert!(err(&mixed).contains("a0.json: line 1 column 1: EOF"), "{}", err(&mixed));
}

#[test]
fn exit_codes_tell_wrong_use_from_what_could_not_be_done() {
    let folder = TempDir::new().unwrap();
    let day = fixture("day.auction.json");
    for arguments in [&[][..], &["clear"], &["shine"], &["clear", "a", "--shape", "x"], &["verify", "-", "-"]]
    {
        assert_eq!(code(&merit(arguments)), 2, "{arguments:?}");
    }
    assert_eq!(code(&merit(&["--help"])), 0);
    let missing = merit(&["clear", text(&folder.path().join("none.json"))]);
    assert_eq!(code(&missing), 2);
    assert!(err(&missing).contains("none.json: No such file"), "{}", err(&missing));
    let nowhere = folder.path().join("no/such/folder/result.json");
    let unwritable = merit(&["clear", text(&day), "--out", text(&nowhere)]);
    assert_eq!(code(&unwritable), 1);
    assert!(err(&unwritable).starts_with("merit: cannot write "), "{}", err(&unwritable));
}

#[test]
fn bad_files_are_refused_in_words() {
    let malformed = merit_fed(&["clear", "-"], "{\"format\":\"merit-auction/1\",\n\"name\":}");
    assert_eq!(code(&malformed), 2);
    assert!(err(&malformed).contains("line 2 column 8: expected value"), "{}", err(&malformed));
    let day = fs::read_to_string(fixture("day.auction.json")).unwrap();
    let off_tick = merit_fed(&["clear", "-"], &day.replacen("\"12.5\"", "\"12.3\"", 1));
    assert_eq!(code(&off_tick), 2);
    let expected = "curve \"hydro-1\" points[1] price: 12.3 is off the tick 0.5";
    assert!(err(&off_tick).contains(expected), "{}", err(&off_tick));
    assert_eq!(out(&off_tick), "");
}

#[test]
fn a_file_that_claims_a_gigabyte_is_refused_unread() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("large.json");
    fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    let refused = merit(&["clear", text(&path)]);
    assert_eq!(code(&refused), 2);
    assert!(err(&refused).contains("holds more than 512 MiB of text"), "{}", err(&refused));
}

#[test]
fn verify_finds_what_was_changed_and_says_it() {
    let folder = TempDir::new().unwrap();
    let (auction, path) = (fixture("day.auction.json"), folder.path().join("result.json"));
    let verify = |result: &str, format: &str| {
        fs::write(&path, result).unwrap();
        merit(&["verify", text(&auction), text(&path), "-o", format])
    };
    let result = clear(&auction);
    let good = verify(&result, "table");
    assert_eq!((code(&good), out(&good).as_str()), (0, "every rule holds; welfare 12859.65875 INR\n"));
    for (from, to, words) in [
        ("\"52.5\",", "\"52.51\",", "curve \\\"coal-1\\\" sells 596 lots in period 1"),
        ("\"welfare\":\"12859.65875\"", "\"welfare\":\"12859.6585\"", "welfare: 51438634 told"),
        ("\"bound\":\"12859.65875\"", "\"bound\":\"12860\"", "bound: 51440000 does not go"),
        ("\"optimal\"", "\"limit\"", "status \\\"limit\\\": from welfare and bound follows"),
        ("{\"id\":\"town-1\"", "{\"id\":\"city-1\"", "curve \\\"city-1\\\" is not in the auction"),
    ] {
        assert!(result.contains(from), "{from}");
        let found = verify(&result.replacen(from, to, 1), "json");
        assert_eq!(code(&found), 3, "{from} to {to}");
        assert!(out(&found).contains(words), "{words} not in {}", out(&found));
        let report: Value = serde_json::from_slice(&found.stdout).unwrap();
        assert_eq!(report["valid"], false);
    }
    assert_eq!(code(&verify("{}", "csv")), 2);
    assert_eq!(code(&verify(&result.replacen("\"52.5\"", "\"52.505\"", 1), "csv")), 2);
}

#[test]
fn verify_tells_who_was_paradoxically_rejected_and_what_it_lost() {
    let folder = TempDir::new().unwrap();
    let (auction, path) = (fixture("blocks.auction.json"), folder.path().join("result.json"));
    fs::write(&path, clear(&auction)).unwrap();
    let told = merit(&["verify", text(&auction), text(&path), "-o", "csv"]);
    assert_eq!(code(&told), 0, "{}", out(&told));
    let result: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let positive = result["rejected"].as_array().unwrap().iter().filter(|it| {
        parse(it["surplus"].as_str().unwrap()).unwrap().is_sign_positive()
            && it["reason"] != "parent_rejected"
    });
    assert_eq!(out(&told).lines().count(), 1 + positive.count(), "{}", out(&told));
}

/// Runs the checker of the shared folder on a result, where there is a Python to run it.
fn check_by_script(shared: &Path, auction: &Path, result: &str) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("result.json");
    fs::write(&path, result).unwrap();
    let script = shared.join("tools/check_result.py");
    let run = Command::new("python3").arg(script).arg(auction).arg(&path).arg("--ties").output();
    match run {
        Ok(run) => assert_eq!(code(&run), 0, "{}: {}", auction.display(), out(&run)),
        Err(error) => eprintln!("SKIPPED: check_result.py on {}: python3: {error}", auction.display()),
    }
}

fn number(value: &Value) -> rust_decimal::Decimal {
    let text = value.to_string();
    parse(text.trim_matches('"')).unwrap()
}

#[test]
fn known_answers_of_curves_are_found() {
    let Some(shared) = shared() else { return };
    let mut seen = 0;
    for entry in fs::read_dir(shared.join("data/known_answers")).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = text(&path).strip_suffix(".auction.json") else { continue };
        let auction: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let expected: Value =
            serde_json::from_slice(&fs::read(format!("{name}.expected.json")).unwrap()).unwrap();
        let result = clear(&path);
        check_by_script(&shared, &path, &result);
        if auction.get("blocks").and_then(Value::as_array).is_some_and(|it| !it.is_empty()) {
            continue;
        }
        seen += 1;
        let result: Value = serde_json::from_str(&result).unwrap();
        assert_eq!(number(&result["welfare"]), number(&expected["welfare"]), "{name}");
        assert_eq!(result["status"], "optimal", "{name}");
        for (place, interval) in expected["price_interval"].as_object().unwrap() {
            let (area, period) = place.split_once(',').unwrap();
            let price = number(&result["prices"][area][period.parse::<usize>().unwrap() - 1]);
            assert!(
                number(&interval[0]) <= price && price <= number(&interval[1]),
                "{name} {place}: {price}"
            );
            if let Some(exact) = expected.get("price") {
                assert_eq!(price, number(&exact[place]), "{name} {place}");
            }
        }
        if let Some(volume) = expected.get("volume") {
            let fills = result["curves"].as_array().unwrap();
            let bought: rust_decimal::Decimal = fills.iter().map(|it| number(&it["bought"])).sum();
            assert_eq!(bought, number(volume), "{name}");
        }
    }
    assert!(seen >= 10, "only {seen} known answers of curves");
}

#[test]
fn real_days_pass_the_checker() {
    let Some(shared) = shared() else { return };
    let mut days = vec![shared.join("data/mibel/mibel-2025-06-21.auction.json.gz")];
    for entry in fs::read_dir(shared.join("data/italy")).unwrap() {
        let path = entry.unwrap().path();
        if text(&path).ends_with("-exchanges.auction.json.gz") {
            days.push(path);
        }
    }
    assert!(days.len() > 5);
    for day in days {
        check_by_script(&shared, &day, &clear(&day));
    }
}
