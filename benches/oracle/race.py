#!/usr/bin/env python3
"""Clear the same generated auctions with Merit and with HiGHS, one after the other in one run, one thread each.

usage: race.py GENERATOR TIMER [--cases "liquid 96 13 1,liquid 2 13 1"] [--runs 100]

GENERATOR and TIMER are the built examples `auction` and `clearing` of merit-benches. Merit's time is from admitted
book to verified result, per-order quantities included; HiGHS gets curves that are already aggregated and solves one
linear programme per period: its time is that of passing and running the models only. The welfare must be the same.
Needs Python 3.9+, numpy, highspy.
"""
import argparse
import json
import os
import subprocess
import sys
import time
from decimal import Decimal

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("generator")
    ap.add_argument("timer")
    ap.add_argument("--cases", default="liquid 96 13 1,liquid 2 13 1,liquid 96 1 1,lumpy 96 13 1")
    ap.add_argument("--runs", default="100")
    a = ap.parse_args()
    solver_seconds = 0.0
    run = compare.highspy.Highs.run

    def timed(self, *args):
        nonlocal solver_seconds
        started = time.perf_counter()
        status = run(self, *args)
        solver_seconds += time.perf_counter() - started
        return status

    compare.highspy.Highs.run = timed
    differ = 0
    print("| auction | orders | points | Merit best / median ms | HiGHS ms | ratio (median) | welfare |")
    print("|---|---|---|---|---|---|---|")
    for case in a.cases.split(","):
        words = case.split()
        out = subprocess.run([a.timer, *words, a.runs], stdout=subprocess.PIPE, text=True, check=True).stdout
        name, orders, points, best, median, welfare = out.strip().splitlines()[-1].split()
        text = subprocess.run([a.generator, *words], stdout=subprocess.PIPE, check=True).stdout
        auction = compare.Auction(json.loads(text, parse_float=Decimal, parse_int=Decimal))
        solver_seconds = 0.0
        found = sum(compare.solve(auction, t) for t in range(auction.periods))
        same = "equal" if found == int(welfare) else f"differs: {found} and {welfare}"
        differ += found != int(welfare)
        ms = solver_seconds * 1e3
        print(f"| {name} | {orders} | {points} | {float(best) / 1e3:.3f} / {float(median) / 1e3:.3f} | {ms:.0f} | "
              f"{ms / (float(median) / 1e3):.0f}x | {same} |", flush=True)
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
