#!/usr/bin/env python3
"""Compare the welfare that `merit clear` finds with an independent linear programme, auction by auction.

usage: compare.py MERIT (--generator PROGRAM --count 2000 [--seed 1] [--family any] | --folder DIR)
                  [--checker check_result.py] [--keep DIR] [--columns 60000]

MERIT is the built binary. PROGRAM is the built example `auction` of merit-benches; DIR holds auction files
(merit-auction/1, plain or gzip). Every auction is cleared in one run of MERIT. Then each period is written as a
linear programme from the auction file alone (a step per limit price; a linear curve as one step per price tick),
solved by HiGHS, its primal rounded to whole lots, checked for balance and limits, and its welfare recomputed in
integers: it must equal the welfare of the result file exactly. Periods that would need more than --columns
columns are left out and counted; so are auctions with blocks or complex orders. With --checker every result also
has to pass that program with --ties.

Exit status: 0 all agree; 1 something differs (each is printed); 2 wrong use. Needs Python 3.9+, numpy, highspy.
"""
import argparse
import glob
import gzip
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

import highspy
import numpy as np


def load(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt") as f:
        return json.load(f, parse_float=Decimal, parse_int=Decimal)


def whole(value, tick):
    count = Fraction(Decimal(value)) / Fraction(Decimal(tick))
    if count.denominator != 1:
        raise ValueError(f"{value} is off the tick {tick}")
    return count.numerator


def toward_zero(number, divisor):
    return number // divisor if number >= 0 else -(-number // divisor)


def tick_steps(points, low, high):
    """A linear curve as steps: (buy steps, sell steps), each {price: lots}. Beyond its ends it is constant, so what
    it wants at its last point it wants up to the cap, and what it gives at its first it gives down to the floor."""
    net = {low: points[0][1], high: points[-1][1]}
    net[points[0][0]] = points[0][1]
    for (a, x), (b, y) in zip(points, points[1:]):
        for p in range(a, b + 1):
            net[p] = toward_zero(x * (b - a) + (y - x) * (p - a), b - a)
    buys, sells, bought, sold = {}, {}, 0, 0
    for p in sorted(net, reverse=True):
        if net[p] > bought:
            buys[p], bought = net[p] - bought, net[p]
    for p in sorted(net):
        if -net[p] > sold:
            sells[p], sold = -net[p] - sold, -net[p]
    return buys, sells


class Auction:
    def __init__(self, raw):
        self.decided = bool(raw.get("blocks") or raw.get("complex"))
        self.periods = int(raw["periods"])
        tick, lot = raw["price_tick"], raw["quantity_tick"]
        self.unit = Fraction(Decimal(tick)) * Fraction(Decimal(lot)) * int(raw["period_minutes"]) / 60
        self.areas = {area: i for i, area in enumerate(raw["areas"])}
        low, high = whole(raw["price_min"], tick), whole(raw["price_max"], tick)
        self.levels = [defaultdict(int) for _ in range(self.periods)]  # (area, side, price) -> lots
        self.linear = [[] for _ in range(self.periods)]
        for c in raw.get("curves", []):
            t, area = int(c["period"]) - 1, self.areas[c["area"]]
            points = [(whole(p, tick), whole(q, lot)) for p, q in c["points"]]
            if c.get("shape", "step") == "step":
                for p, q in points:
                    self.levels[t][area, c["side"], p] += q
            else:
                self.linear[t].append((area, points))
        self.low, self.high = low, high
        self.lines = []
        for line in raw.get("lines", []):
            caps = [[whole(x, lot) for x in (v if isinstance(v, list) else [v] * self.periods)]
                    for v in (line["capacity"], line["capacity_back"])]
            self.lines.append((self.areas[line["from"]], self.areas[line["to"]], *caps))

    def columns(self, t):
        """All steps of a period: {(area, side, price): lots}."""
        levels = defaultdict(int, self.levels[t])
        for area, points in self.linear[t]:
            buys, sells = tick_steps(points, self.low, self.high)
            for side, steps in (("buy", buys), ("sell", sells)):
                for p, q in steps.items():
                    levels[area, side, p] += q
        return levels

    def size(self, t):
        return len(self.levels[t]) + sum(points[-1][0] - points[0][0] + 2 for _, points in self.linear[t])


def solve(auction, t):
    """Greatest welfare of one period in price ticks x lots, from the primal in whole lots."""
    levels = sorted(auction.columns(t).items())
    sign = np.array([1 if side == "sell" else -1 for (_, side, _), _ in levels], float)
    cost = [(1 if side == "sell" else -1) * p for (_, side, p), _ in levels]
    n, m, rows = len(levels), len(auction.lines), len(auction.areas)
    if n == 0:
        return 0
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = n + m, rows
    lp.col_cost_ = np.array(cost + [0] * m, float)
    lp.col_lower_ = np.array([0] * n + [-back[t] for _, _, _, back in auction.lines], float)
    lp.col_upper_ = np.array([q for _, q in levels] + [forward[t] for _, _, forward, _ in auction.lines], float)
    lp.row_lower_ = lp.row_upper_ = np.zeros(rows)
    index = [area for (area, _, _), _ in levels]
    value = list(sign)
    start = list(range(n + 1))
    for source, target, _, _ in auction.lines:
        index += [source, target]
        value += [-1.0, 1.0]
        start.append(len(index))
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_ = np.array(start, np.int32), np.array(index, np.int32)
    lp.a_matrix_.value_ = np.array(value, float)
    h = highspy.Highs()
    h.setOptionValue("output_flag", False)
    h.setOptionValue("threads", 1)
    h.setOptionValue("solver", "simplex")
    h.passModel(lp)
    h.run()
    if h.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise ArithmeticError(f"HiGHS ends with {h.getModelStatus()}")
    x = [round(v) for v in h.getSolution().col_value]
    balance, welfare = [0] * rows, 0
    for ((area, side, p), most), q in zip(levels, x):
        if not 0 <= q <= most:
            raise ArithmeticError("the rounded primal leaves its bounds")
        s = 1 if side == "sell" else -1
        balance[area] += s * q
        welfare -= s * p * q
    for (source, target, forward, back), f in zip(auction.lines, x[n:]):
        if not -back[t] <= f <= forward[t]:
            raise ArithmeticError("the rounded primal leaves its bounds")
        balance[source] -= f
        balance[target] += f
    if any(balance):
        raise ArithmeticError("the rounded primal does not balance")
    return welfare


def generate(program, family, seeds, folder):
    words = family.split()
    for seed in seeds:
        with open(os.path.join(folder, f"{seed:06}.json"), "wb") as out:
            subprocess.run([program, *words, str(seed)], stdout=out, check=True)


def clear(merit, folder, results):
    started = time.time()
    run = subprocess.run([merit, "clear", folder, "--out", results, "--quiet"], stderr=subprocess.PIPE, text=True)
    if run.returncode:
        print(run.stderr.strip())
        print(f"merit clear ends with {run.returncode}")
    return time.time() - started, run.returncode == 0


def checker_of(path):
    if not path:
        return None
    spec = importlib.util.spec_from_file_location("checker", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda a, r: module.check(module.Auction(module.load(a)), module.load(r), True)[0]


def compare(path, result_path, columns, counts):
    """What differs between a result and the linear programmes of its auction; nothing if nothing does."""
    auction = Auction(load(path))
    if auction.decided:
        counts["auctions with blocks or complex orders left out"] += 1
        return []
    if any(auction.size(t) > columns for t in range(auction.periods)):
        counts["auctions with too many columns left out"] += 1
        return []
    try:
        welfare = sum(solve(auction, t) for t in range(auction.periods))
    except ArithmeticError as e:
        return [str(e)]
    counts["auctions compared"] += 1
    counts["periods compared"] += auction.periods
    told = Fraction(Decimal(load(result_path)["welfare"]))
    if told != welfare * auction.unit:
        return [f"welfare {float(told)}, the linear programme finds {float(welfare * auction.unit)}"]
    return []


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("merit")
    ap.add_argument("--generator")
    ap.add_argument("--family", default="any")
    ap.add_argument("--count", type=int, default=2000)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--folder")
    ap.add_argument("--checker")
    ap.add_argument("--keep")
    ap.add_argument("--columns", type=int, default=60_000)
    a = ap.parse_args()
    if bool(a.generator) == bool(a.folder):
        ap.error("either --generator or --folder")
    with tempfile.TemporaryDirectory() as scratch:
        folder = a.folder or a.keep or os.path.join(scratch, "auctions")
        os.makedirs(folder, exist_ok=True)
        if a.generator:
            generate(a.generator, a.family, range(a.seed, a.seed + a.count), folder)
        results = os.path.join(a.keep or scratch, "results")
        seconds, cleared = clear(a.merit, folder, results)
        check = checker_of(a.checker)
        counts, broken = defaultdict(int), 0 if cleared else 1
        started = time.time()
        for path in sorted(glob.glob(os.path.join(folder, "*.json")) + glob.glob(os.path.join(folder, "*.json.gz"))):
            name = os.path.basename(path)
            if ".expected." in name or ".result." in name:
                continue
            stem = name.removesuffix(".gz").removesuffix(".json").removesuffix(".auction")
            result = os.path.join(results, f"{stem}.result.json")
            if not os.path.exists(result):
                found = ["it has no result"]
            else:
                found = compare(path, result, a.columns, counts)
                if check:
                    found += check(path, result)
                    counts["results checked with ties"] += 1
            broken += bool(found)
            for text in found[:5]:
                print(f"{name}: {text}")
        for what, count in counts.items():
            print(f"{count} {what}")
        print(f"merit took {seconds:.1f} s for all files, the comparison {time.time() - started:.1f} s; {broken} differ")
    return 1 if broken or not counts["auctions compared"] else 0


if __name__ == "__main__":
    sys.exit(main())
