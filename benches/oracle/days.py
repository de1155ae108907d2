#!/usr/bin/env python3
"""Real days with Merit and with HiGHS in one run, one thread each.

usage: days.py DAYS ORACLE FILE... [--runs 20] [--solve 100] [--total 300]

DAYS is the built example `days` of merit-gateway: its time is from parsed orders to verified result. ORACLE is
milp_oracle.py of the shared tools, run as race_blocks.py says: curves aggregated by price, timed on the processor
until its procedure has its last legal result; only what passes inside HiGHS counts. Needs Python 3.9+, numpy, highspy.
"""
import argparse
import gzip
import json
import os
import subprocess
import sys
from decimal import Decimal

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import race_blocks


def load(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt") as f:
        return json.load(f, parse_float=Decimal, parse_int=lambda it: int(it))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("days")
    ap.add_argument("oracle")
    ap.add_argument("files", nargs="+")
    ap.add_argument("--runs", default="20")
    ap.add_argument("--solve", type=float, default=100.0)
    ap.add_argument("--total", type=float, default=300.0)
    a = ap.parse_args()
    oracle = race_blocks.load_oracle(a.oracle)
    race_blocks.limit_by_processor(oracle.highspy.Highs)
    print("| day | curves, blocks, complex | Merit best / median ms | status | HiGHS legal s | ratio (median) | welfare |")
    print("|---|---|---|---|---|---|---|")
    for path in a.files:
        out = subprocess.run([a.days, "--runs", a.runs, path], stdout=subprocess.PIPE, text=True, check=True).stdout
        name, curves, blocks, complex_, _, best, _, median, _, _, status, welfare, *_ = out.split()
        race = race_blocks.Highs(oracle, load(path), a.solve, a.total, now=lambda: race_blocks.inside)
        found = race.run()
        legal = max(found["legal"], key=lambda it: it["welfare"], default=None)
        if legal is None:
            theirs, ratio, differs = f'none in {found["seconds"]:.0f}', "–", "–"
        else:
            theirs = f'{legal["seconds"]:.2f}'
            ratio = f'{legal["seconds"] * 1e3 / float(median):.0f}x'
            money = race.auction.money(int(round(legal["welfare"])))
            differs = f"{float(Decimal(welfare) - Decimal(str(money))):+.2f} of {welfare}"
        print(f"| {name} | {curves}, {blocks}, {complex_} | {best} / {median} | {status} | {theirs} | {ratio} | {differs} |",
              flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
